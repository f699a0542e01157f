"""Scores of a sweep's jobs by setting: for jobs that differ only in seed, fold and tta."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gcseg.report.sweep.statistics import Difference, difference, paired_difference
from gcseg.runs.modes import MODE_TITLES
from gcseg.runs.shown import miou
from gcseg.system.text import brief

if TYPE_CHECKING:
    from gcseg.sweeps.ledger import Job


_REPEATS = {"seed": "seeds", "dataset.fold": "folds"}
"""Settings that repeat a training, with the word for their values."""

_WITHIN_SETTINGS = (*_REPEATS, "tta")


@dataclass(frozen=True)
class Setting:
    """Jobs that differ only in seed, fold and mode of test-time augmentation.

    Args:
        values: Values that distinguish these jobs in the sweep, by name of the varied setting.
        jobs: The jobs, ordered by number.
        scores: mIoU as a fraction, by mode, then by training. Two jobs that score the same
            weights in the same mode have one score.
    """

    values: Mapping[str, str]
    jobs: Sequence[Job]
    scores: Mapping[str, Mapping[str, float]]

    @property
    def name(self) -> str:
        """The values in one line, as `r50, 20`; network, data and length if there are none."""
        if self.values:
            return ", ".join(value or "-" for value in self.values.values())
        known = self.jobs[0].settings
        parts = [brief(known[key]) for key in ("backbone", "head", "dataset") if key in known]
        return " ".join([*parts, f"{brief(known['iters'])}it"] if "iters" in known else parts)

    def in_mode(self, mode: str) -> list[float]:
        """Return the scores of one mode, one for each training that has one."""
        return list(self.scores.get(mode, {}).values())

    def expected(self, mode: str) -> list[Job]:
        """Return the jobs that score a mode or should have, including those of unknown modes."""
        return [job for job in self.jobs if mode in (job_modes(job) or [mode])]


def varying(jobs: Sequence[Job]) -> list[str]:
    """Return the names of the settings whose overrides differ among jobs, in the given order."""
    return list(varied(jobs))


def varied(jobs: Sequence[Job]) -> dict[str, list[str]]:
    """Return the distinct values of each setting whose overrides differ among jobs.

    Settings and values are in the given order; the value of a job without the override is empty.
    """
    tables = [_overrides(job) for job in jobs]
    names = dict.fromkeys(name for table in tables for name in table)
    found = {name: dict.fromkeys(table.get(name) for table in tables) for name in names}
    return {name: list(dict.fromkeys(value or "" for value in values))
            for name, values in found.items() if len(values) > 1}  # fmt: skip


def repeats(rows: Iterable[Setting]) -> str:
    """Return the word for what trainings of one setting differ in: seeds, folds or both."""
    varies = varied([job for setting in rows for job in setting.jobs])
    return " and ".join(word for name, word in _REPEATS.items() if name in varies) or "seeds"


def overrides(job: Job, names: Iterable[str]) -> dict[str, str]:
    """Return a job's overrides of some settings; empty for those that it does not override."""
    table = _overrides(job)
    return {name: table.get(name, "") for name in names}


def settings(jobs: Sequence[Job]) -> list[Setting]:
    """Return the settings of a sweep, in the order of their first jobs."""
    names = [name for name in varying(jobs) if name not in _WITHIN_SETTINGS]
    groups: dict[tuple[str, ...], list[Job]] = {}
    for job in sorted(jobs, key=lambda job: job.number):
        groups.setdefault(tuple(overrides(job, names).values()), []).append(job)
    return [
        Setting(dict(zip(names, values, strict=True)), group, _scores(group))
        for values, group in groups.items()
    ]


def modes(jobs: Iterable[Job]) -> list[str]:
    """Return the modes of all jobs: plain, flip, ms+flip, then others in order of occurrence."""
    return order_modes(mode for job in jobs for mode in job_modes(job))


def order_modes(names: Iterable[str]) -> list[str]:
    """Return modes once each: plain, flip, ms+flip, then others in order of occurrence."""
    found = list(dict.fromkeys(names))
    return [mode for mode in MODE_TITLES if mode in found] + [
        one for one in found if one not in MODE_TITLES
    ]


def job_modes(job: Job) -> list[str]:
    """Return the modes that a job scores, or has scored if nothing else is known."""
    return list(dict.fromkeys([*job.settings.get("modes", ()), *(job.evaluations or {})]))


def best(all_settings: Sequence[Setting], mode: str) -> Setting | None:
    """Return the setting with the highest mean in a mode; None if nothing is scored in it."""
    scored = [setting for setting in all_settings if setting.in_mode(mode)]
    return max(scored, key=lambda one: math.fsum(one.in_mode(mode)) / len(one.in_mode(mode)),
               default=None)  # fmt: skip


def compare(first: Setting, second: Setting, mode: str) -> Difference:
    """Return the difference in score of two settings.

    Settings that differ only in evaluation score the same trainings, which are compared in pairs.
    """
    ours, theirs = first.scores[mode], second.scores[mode]
    if ours.keys() == theirs.keys():
        return paired_difference(list(ours.values()), [theirs[training] for training in ours])
    return difference(list(ours.values()), list(theirs.values()))


def _scores(jobs: Sequence[Job]) -> dict[str, dict[str, float]]:
    scores: dict[str, dict[str, float]] = {}
    for job in jobs:
        for mode, evaluation in (job.evaluations or {}).items():
            value = miou(evaluation)
            if value is not None:
                scores.setdefault(mode, {})[job.training] = value
    return scores


def _overrides(job: Job) -> dict[str, str]:
    """Return a job's overrides by name of the setting; a removed one has the value `removed`."""
    table = {}
    for override in job.overrides:
        name, _, value = override.partition("=")
        if name.startswith("~"):
            value = "removed"
        table[name.lstrip("+~")] = _unquoted(value)
    return table


def _unquoted(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1] if quoted else value
