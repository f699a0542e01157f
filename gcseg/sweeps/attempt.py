"""A process that runs one or several jobs of a sweep, and its entries in the ledger."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from gcseg.config.instantiate import instantiate
from gcseg.sweeps.ledger import Job, Ledger
from gcseg.sweeps.process import JobProcess

SECONDS_BETWEEN_LOOKS = 5.0
"""Seconds between two looks at the curves of a training."""


class Attempt:
    """A job process for jobs that share a training.

    Args:
        ledger: Ledger with the jobs, which this process has claimed.
        jobs: The jobs; the console log goes to the folder of the first one.
        cfg: Settings of the process, with all modes that the jobs ask for.
        folder: Folder of the sweep.
        working_folder: Folder that the paths in the settings are relative to.
        environment: Additional environment variables of the process.

    Raises:
        GcsegError: The process can't be started, or a setting is wrong.
    """

    def __init__(
        self,
        ledger: Ledger,
        jobs: Sequence[Job],
        cfg: Mapping[str, Any],
        folder: Path,
        working_folder: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.ledger = ledger
        self.jobs = jobs
        self._cfg = cfg
        self._look_at = 0.0
        self._seen: dict[int, float] = {}
        self._pruner = None
        if cfg.get("prune") is not None:
            self._pruner = instantiate(DictConfig(cfg["prune"]))
        timeout = cfg.get("job_timeout")
        self.process = JobProcess(
            cfg,
            job_folder(folder, jobs[0]),
            working_folder,
            environment or {},
            None if timeout is None else 60.0 * timeout,
        )

    def poll(self) -> bool:
        """Enter new validations, prune a hopeless training, and return whether the process runs.

        Raises:
            OutputError: The ledger can't be written.
        """
        running = self.process.poll()
        if running and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + SECONDS_BETWEEN_LOOKS
            self.ledger.show_life(
                [job.key for job in self.jobs], run=self.process.told().get("run")
            )
            if self._report() and self._hopeless():
                self.process.stop("pruned")
        return running

    def finish(self) -> list[Job]:
        """Enter the outcomes of the jobs in the ledger, after the process has ended.

        Raises:
            OutputError: The ledger can't be written.
        """
        self._report()
        result = self.process.result()
        for job in self.jobs:
            records, state, error = None, result.state, result.error
            if result.evaluations is not None:
                modes = job.settings["modes"]
                records = {mode: one for mode, one in result.evaluations.items() if mode in modes}
                if missing := [mode for mode in modes if mode not in records]:
                    records, state, error = None, "failed", f"no scores of {', '.join(missing)}"
            self.ledger.finish(
                job.key,
                state,
                run=result.run,
                evaluations=records,
                error=error,
                log=self.process.log,
                seconds=result.seconds,
            )
        return [self.ledger.job(job.key) for job in self.jobs]

    def _report(self) -> bool:
        """Enter new validations in the ledger, and return whether there are any."""
        found = self.process.validations()
        new = {step: miou for step, miou in found.items() if self._seen.get(step) != miou}
        for step, miou in sorted(new.items()):
            for job in self.jobs:
                self.ledger.report(job.key, step, miou)
        self._seen = found
        return bool(new)

    def _hopeless(self) -> bool:
        """Return whether the sweep's pruner gives the training up."""
        if self._pruner is None or max(self._seen) >= self._cfg["iters"]:
            return False
        from gcseg.sweeps.pruning import should_prune

        return should_prune(
            self.ledger.jobs(), self.ledger.reports(), self.jobs[0].key, self._pruner
        )


def job_folder(folder: Path, job: Job) -> Path:
    """Return the folder of a job's settings, console log and outcome."""
    return folder / "jobs" / str(job.number)
