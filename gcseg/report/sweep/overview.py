"""All tables of a sweep: scores, noise, cost and differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gcseg.report.sweep.claims import comparison_sheet, read_comparison
from gcseg.report.sweep.costs import cost_sheet, read_timings
from gcseg.report.sweep.scores import modes, settings
from gcseg.report.sweep.sheets import Sheet, noise_sheet, scores_sheet, unfinished
from gcseg.report.sweep.trainings import Training
from gcseg.sweeps.ledger import Job


@dataclass(frozen=True)
class Overview:
    """The tables of a sweep, None where there is nothing to show.

    Args:
        scores: mIoU by setting and mode.
        noise: Mean and interval by mode and setting, and the difference from the best.
        cost: Parameters, operations and time of each setting's network, and its mIoU.
        differences: Differences from the baseline, and verdicts on claims.
        unfinished: Lines on jobs without result and on those that stopped early.
        cost_notes: Lines on missing and doubtful times.
        difference_notes: Lines on what the differences leave out.
    """

    scores: Sheet | None
    noise: Sheet | None
    cost: Sheet | None
    differences: Sheet | None
    unfinished: Sequence[str] = ()
    cost_notes: Sequence[str] = ()
    difference_notes: Sequence[str] = ()

    @property
    def lines(self) -> list[str]:
        """All lines below the tables."""
        return [*self.unfinished, *self.cost_notes, *self.difference_notes]

    @property
    def sheets(self) -> list[Sheet]:
        """The tables that there are, in their order."""
        known = (self.scores, self.noise, self.cost, self.differences)
        return [sheet for sheet in known if sheet is not None]


def overview(folder: Path, jobs: Sequence[Job], trainings: Mapping[str, Training]) -> Overview:
    """Return the tables of a sweep.

    Args:
        folder: Folder of the sweep, with the record of what it compares and of measured times.
        jobs: All jobs of the sweep, finished or not.
        trainings: Their trainings, by fingerprint.
    """
    rows, columns = settings(jobs), modes(jobs)
    scores, noise, left = scores_sheet(rows, columns), noise_sheet(rows, columns), unfinished(jobs)
    if not rows:
        return Overview(scores, noise, None, None, left)
    scored = [mode for mode in columns if any(row.in_mode(mode) for row in rows)]
    notices: list[str] = []
    comparison = read_comparison(folder, notices)
    cost, doubts = cost_sheet(rows, scored, trainings, read_timings(folder), comparison)
    differences, left_out = comparison_sheet(rows, scored, comparison)
    return Overview(scores, noise, cost, differences, left, doubts, [*notices, *left_out])
