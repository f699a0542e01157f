"""Settings, cost and curves from the run folders of a sweep, in addition to its scores."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gcseg.errors import OutputError
from gcseg.report.sweep.scores import overrides
from gcseg.runs.folder import CONFIG_FILE, ENVIRONMENT_FILE, RESULTS_FILE
from gcseg.runs.shapes import ANYTHING, ENVIRONMENT, FRACTION, RESULTS
from gcseg.runs.shown import number, shown_curves, shown_record
from gcseg.system.links import leads_out
from gcseg.system.text import brief, shown

if TYPE_CHECKING:
    from gcseg.sweeps.ledger import Job

_SECONDS_PER_HOUR = 3600.0
_PETA = 1e15


@dataclass(frozen=True)
class Training:
    """One training of a sweep, as far as its files can be read.

    Args:
        jobs: Jobs that score the training, ordered by number.
        folder: Path of the run folder; None if there is none, or it is gone.
        config: Resolved settings; empty if they can't be read.
        results: Contents of results.json; empty if it can't be read.
        environment: Contents of environment.json; empty if it can't be read.
        lost: Notes on what can't be read or shown.
        curves: Cache of the curves read from the sweep's run folders.
    """

    jobs: Sequence[Job]
    folder: Path | None
    config: Mapping[str, Any]
    results: Mapping[str, Any]
    environment: Mapping[str, Any]
    lost: Sequence[str]
    curves: dict[str, dict[int, float]] = field(default_factory=dict)

    @property
    def seed(self) -> str:
        """The seed of the training."""
        return brief(self.jobs[0].settings.get("seed", "-"))

    @property
    def fold(self) -> str:
        """The fold that the training is scored on; - without folds."""
        value = overrides(self.jobs[0], ["dataset.fold"])["dataset.fold"]
        return brief(value or "-")

    @property
    def state(self) -> str:
        """The states of its jobs, each once."""
        return ", ".join(dict.fromkeys(job.state for job in self.jobs))

    @property
    def device(self) -> str | None:
        """`GPU` or `CPU`; None if it is not known."""
        gpus = self.environment.get("gpus")  # CUDA GPUs
        accelerator = self.config.get("accelerator", "auto")
        if accelerator != "auto":
            return "CPU" if accelerator == "cpu" else "GPU"
        return None if not isinstance(gpus, list) else "GPU" if gpus else "CPU"

    @property
    def hours(self) -> float | None:
        """Hours of training times number of devices; None if either is not known."""
        seconds, devices = number(self.results, "training", "seconds"), self._devices()
        if seconds is None or devices is None or seconds <= 0:
            return None
        return number(seconds * devices / _SECONDS_PER_HOUR)

    @property
    def petaflop(self) -> float | None:
        """Cost of the training, in 10^15 multiplications and additions; None if it is not known."""
        flops = number(self.results, "model", "training_flops")
        steps = number(self.results, "training", "iters")
        images = number(self.config, "batch_size")
        if flops is None or steps is None or images is None:
            return None
        return number(flops * steps * images / _PETA) or None

    def evaluation(self, mode: str) -> Mapping[str, Any]:
        """Return the sweep's record of a mode, with what later evaluations of the run added.

        Empty if there is no record.
        """
        ours = next((job.evaluations[mode] for job in self.jobs
                     if job.evaluations is not None and mode in job.evaluations), {})  # fmt: skip
        evaluations = self.results.get("evaluations")
        later = evaluations.get(mode) if isinstance(evaluations, Mapping) else None
        return {**later, **ours} if isinstance(later, Mapping) else ours

    def curve(self) -> dict[int, float]:
        """Return validation mIoU (fraction) by optimizer steps done; empty if it can't be read."""
        if self.folder is None:
            return {}
        key = os.path.realpath(self.folder)
        if key not in self.curves:
            columns = shown_curves(self.folder, only=["val/miou"])
            steps, values = columns.get("val/miou", ([], []))
            found = {step: value for step, value in zip(steps, values, strict=True)
                     if FRACTION.fits(value)}  # fmt: skip
            self.curves[key] = dict(sorted(found.items()))
        return self.curves[key]

    def _devices(self) -> float | None:
        """Return the number of devices of the training; None if it is not known."""
        devices = self.config.get("devices", 1)
        if devices == "auto":
            gpus = self.environment.get("gpus")
            on_gpu = self.device == "GPU" and isinstance(gpus, list)
            devices = len(gpus) if on_gpu and gpus else 1
        count, nodes = number(devices), number(self.config.get("num_nodes", 1))
        if count is None or nodes is None or min(count, nodes) < 1:
            return None
        return count * nodes


def read_trainings(
    folder: Path, jobs: Sequence[Job], root: Path | None = None
) -> dict[str, Training]:
    """Read the trainings of a sweep, by fingerprint, in the order of their first jobs.

    Each run folder is read once, even if several jobs name it.

    Args:
        folder: Folder of the sweep.
        jobs: All jobs of the sweep, finished or not.
        root: See `find_run`.
    """
    groups: dict[str, list[Job]] = {}
    for job in sorted(jobs, key=lambda job: job.number):
        groups.setdefault(job.training, []).append(job)
    known: dict[str, _Files] = {}
    curves: dict[str, dict[int, float]] = {}
    return {
        training: _read(folder, group, root, known, curves) for training, group in groups.items()
    }


@dataclass
class _Files:
    """Contents of a run folder's files, and notes on what can't be read; see `Training`."""

    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    results: Mapping[str, Any]
    lost: Sequence[str]
    without_results: Sequence[str]


def _files(folder: Path) -> _Files:
    lost: list[str] = []
    config = shown_record(folder, CONFIG_FILE, ANYTHING, lost)
    environment = shown_record(folder, ENVIRONMENT_FILE, ENVIRONMENT)
    without_results = list(lost)
    results = shown_record(folder, RESULTS_FILE, RESULTS, lost)
    return _Files(config, environment, results, lost, without_results)


def find_run(run: str, sweep: Path, root: Path | None = None) -> Path:
    """Find the run folder of a job, as in the ledger or moved together with the sweep's folder.

    A ledger may name any folder; only those below the run root are accepted.

    Args:
        run: Run folder as the ledger names it.
        sweep: Folder of the sweep.
        root: The run root; None for two folders above the sweep's, its usual place.

    Raises:
        OutputError: The run folder is gone, or not below the run root.
    """
    root = Path(os.path.abspath(sweep)).parent.parent if root is None else root  # noqa: PTH100
    places = [Path(run), root / Path(run).name]
    there = [place for place in places if os.path.isdir(place)]  # noqa: PTH112  # takes names of any length
    found = next((place for place in there if not leads_out(place, root)), None)
    if found is None:
        cause = f"the run folder {shown(Path(run).name)} is gone"
        if there:
            cause = f"the run folder {shown(run)} is not in {root}"
        raise OutputError(cause, "give run_root= where it is")
    return found


def _read(
    sweep: Path,
    jobs: Sequence[Job],
    root: Path | None,
    known: dict[str, _Files],
    curves: dict[str, dict[int, float]],
) -> Training:
    folder: Path | None = None
    lost: Sequence[str] = []
    for run in dict.fromkeys(job.run for job in jobs if job.run):
        try:
            folder, lost = find_run(run, sweep, root), []
            break
        except OutputError as error:
            lost = lost or [error.cause]
    results: Mapping[str, Any] = {}
    environment: Mapping[str, Any] = {}
    config: Mapping[str, Any] = {}
    if folder is not None:
        key = os.path.realpath(folder)
        files = known.get(key) or known.setdefault(key, _files(folder))
        config, environment, results = files.config, files.environment, files.results
        scored = any(job.state == "done" for job in jobs)
        remarks = files.lost if scored else files.without_results
        lost = [remark.removesuffix(".") for remark in remarks]
    for job in jobs:  # the job's settings, if the training has not written its own yet
        config = config or shown_record(sweep, f"jobs/{job.number}/{CONFIG_FILE}", ANYTHING)
    return Training(jobs, folder, config, results, environment, lost, curves)
