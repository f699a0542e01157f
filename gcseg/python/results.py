"""Results of trainings, evaluations and sweeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gcseg.runs.folder import RunFolder


@dataclass(frozen=True)
class EvaluationResult:
    """Scores of a checkpoint.

    Args:
        results: Path of results.json, in which the scores are too.
        evaluations: Records by mode of test-time augmentation, as in results.json: fractions
            `miou`, `pixel_accuracy` and, by class, `class_iou`.
    """

    results: Path
    evaluations: Mapping[str, Mapping[str, Any]]

    @property
    def miou(self) -> float | None:
        """The mIoU under the first mode, a fraction; None if there is none."""
        first: Mapping[str, Any] = next(iter(self.evaluations.values()), {})
        return first.get("miou")


@dataclass(frozen=True)
class TrainingResult(EvaluationResult):
    """A finished training and the scores of its best checkpoint.

    Args:
        results: See `EvaluationResult`.
        evaluations: See `EvaluationResult`.
        folder: The run folder.
    """

    folder: Path

    @property
    def checkpoint(self) -> Path:
        """Path of the best checkpoint."""
        return RunFolder(self.folder).best


@dataclass(frozen=True)
class SweepJob:
    """A job of a sweep.

    Args:
        overrides: Its settings, as given.
        state: done, failed, pruned, interrupted, running or pending.
        folder: The run folder; None if there is none.
        evaluations: Records by mode, see `EvaluationResult`; empty if it has no scores.
        miou: mIoU under the first mode, a fraction; None if it has none.
        error: Error in one line, of a failed job.
    """

    overrides: tuple[str, ...]
    state: str
    folder: Path | None
    evaluations: Mapping[str, Mapping[str, Any]]
    miou: float | None
    error: str | None


@dataclass(frozen=True)
class SweepResult:
    """A sweep and its jobs.

    Args:
        folder: The sweep's folder, with report.html.
        jobs: The jobs, in their order.
    """

    folder: Path
    jobs: tuple[SweepJob, ...]

    @property
    def failed(self) -> tuple[SweepJob, ...]:
        """The jobs that have failed."""
        return tuple(job for job in self.jobs if job.state == "failed")
