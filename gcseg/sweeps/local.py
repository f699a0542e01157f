"""Running the jobs of a multirun on this machine, each as a process with its own GPUs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from gcseg.config.plain import plain
from gcseg.errors import ConfigError
from gcseg.sweeps.attempt import Attempt, job_folder
from gcseg.sweeps.job import enter, forwarding, is_left_to_do, miou
from gcseg.sweeps.ledger import Job, Ledger
from gcseg.sweeps.plan import merged
from gcseg.sweeps.process import Progress
from gcseg.sweeps.table import SweepTable
from gcseg.system.terminal import announce

SECONDS_BETWEEN_POLLS = 0.5


@dataclass(frozen=True)
class Request:
    """A job that the command line asks for.

    Args:
        number: Number in the sweep, from 0.
        overrides: Overrides as given.
        cfg: Settings of the job.
        problem: Reason why the settings can't be run, in one line; None if they can.
    """

    number: int
    overrides: list[str]
    cfg: DictConfig
    problem: str | None


@dataclass
class _Work:
    """A process to start: its settings, the jobs that it runs, and the number of GPUs it needs."""

    cfg: dict[str, Any]
    jobs: list[Job]
    need: int


@dataclass
class _Running:
    work: _Work
    attempt: Attempt
    gpus: list[str] = field(default_factory=list)


def run_jobs(requests: Sequence[Request], folder: Path, at_once: int) -> list[float | None]:
    """Run jobs to their end; one that fails does not end the others.

    Jobs that differ only in their modes of test-time augmentation share a process. Jobs that are
    done already are not run again.

    Args:
        requests: The jobs.
        folder: Folder of the sweep.
        at_once: Number of processes at a time, as far as there are GPUs.

    Returns:
        The return value of `run_job` for each.

    Raises:
        GcsegError: The folder can't be written, or jobs ask for more GPUs than there are.
        KeyboardInterrupt: Ctrl-C; the trainings have saved and left.
        SystemExit: Another signal; the trainings have saved and left.
    """
    if not isinstance(at_once, int) or isinstance(at_once, bool) or at_once < 1:
        raise ConfigError(f"hydra.launcher.jobs={at_once}", "give a whole number, 1 or more")
    valid = [plain(request.cfg) for request in requests if request.problem is None]
    gpus = visible_gpus() if any(cfg["accelerator"] not in ("cpu", "mps") for cfg in valid) else []
    for cfg in valid:
        gpus_needed(cfg, gpus)  # raises before any job is run if there are too few
    ledger = Ledger(folder / "ledger.sqlite")
    jobs = [
        enter(ledger, request.cfg, request.number, request.overrides, request.problem)
        for request in requests
    ]
    to_do = {
        job.key: (plain(request.cfg), job)
        for job, request in zip(jobs, requests, strict=True)
        if request.problem is None and is_left_to_do(job, request.cfg.retry_failed)
    }
    if skipped := len(valid) - len(to_do):
        announce(f"{skipped} of {len(jobs)} jobs are not run again")
    waiting = [
        _Work(cfg, [list(to_do.values())[place][1] for place in places], gpus_needed(cfg, gpus))
        for cfg, places in merged([cfg for cfg, _ in to_do.values()])
    ]
    _run(ledger, waiting, folder, at_once, gpus)
    return [miou(ledger, job) for job in jobs]


def _run(ledger: Ledger, waiting: list[_Work], folder: Path, at_once: int, gpus: list[str]) -> None:
    """Start processes as GPUs become free, and watch them to their end."""
    free = list(gpus)
    running: list[_Running] = []

    def stop(_: int) -> None:
        for one in running:
            one.attempt.process.stop("interrupted")

    def kill() -> None:
        for one in running:
            one.attempt.process.kill()

    with forwarding(stop, kill) as received, SweepTable(ledger.jobs()) as table:
        while running or (waiting and not received):
            for one in [one for one in running if not one.attempt.poll()]:
                one.attempt.finish()
                free += one.gpus
                running.remove(one)
            while not received and (work := _next(waiting, running, at_once, len(free))):
                waiting.remove(work)
                log = job_folder(folder, work.jobs[0]) / "console.log"
                work.jobs = [job for job in work.jobs if ledger.claim(job.key, log=log)]
                if work.jobs:
                    own, free = free[: work.need], free[work.need :]
                    environment = {"CUDA_VISIBLE_DEVICES": ",".join(own)} if own else {}
                    attempt = Attempt(ledger, work.jobs, work.cfg, folder, Path.cwd(), environment)
                    running.append(_Running(work, attempt, own))
                    if received:  # while it was started
                        attempt.process.stop("interrupted")
            table.show(ledger.jobs(), _progress(running))
            if running:
                running[0].attempt.process.wait(SECONDS_BETWEEN_POLLS)
        table.show(ledger.jobs(), {})


def _next(waiting: list[_Work], running: list[_Running], at_once: int, free: int) -> _Work | None:
    """Return the next process that may start: GPUs are free, and its training does not run yet."""
    if len(running) >= at_once:
        return None
    trainings = {job.training for one in running for job in one.work.jobs}
    for work in waiting:
        if work.need > free:
            return None  # later ones may not overtake it, or it would wait for ever
        if work.jobs[0].training not in trainings:
            return work
    return None


def _progress(running: list[_Running]) -> dict[str, Progress]:
    """Return the progress of the running jobs."""
    found = {}
    for one in running:
        progress = one.attempt.process.progress()
        found.update({job.key: progress for job in one.work.jobs})
    return found


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, as named in CUDA_VISIBLE_DEVICES."""
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",")[:count] if named is not None else [str(i) for i in range(count)]


def gpus_needed(cfg: Mapping[str, Any], gpus: Sequence[str]) -> int:
    """Return the number of GPUs that a job needs.

    Raises:
        ConfigError: It needs more GPUs than there are, or several machines.
    """
    if cfg["num_nodes"] > 1:
        raise ConfigError(
            f"num_nodes={cfg['num_nodes']} in a multirun on this machine",
            "use the launcher of a cluster",
        )
    if cfg["accelerator"] in ("cpu", "mps") or not gpus:
        return 0
    if cfg["devices"] == "auto":
        return len(gpus)
    if cfg["devices"] > len(gpus):
        raise ConfigError(
            f"devices={cfg['devices']}, but there are {len(gpus)} GPUs",
            f"give at most {len(gpus)}",
        )
    return int(cfg["devices"])
