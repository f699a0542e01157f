"""Table of chosen classes of a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from gcseg.errors import ConfigError
from gcseg.report.sweep.scores import Setting, modes, settings
from gcseg.report.sweep.sheets import Sheet
from gcseg.report.sweep.statistics import mean
from gcseg.runs.modes import SHORT_MODE_TITLES
from gcseg.runs.shown import mapping, number
from gcseg.sweeps.ledger import Job
from gcseg.system.text import percent, printable


def class_sheet(jobs: Sequence[Job], classes: Sequence[str]) -> Sheet:
    """Return a row per mode and setting, with the IoU of chosen classes and the mean of these.

    Args:
        jobs: The jobs of a sweep.
        classes: Names of the classes.

    Raises:
        ConfigError: No job has scored a class of that name.
    """
    rows, columns = settings(jobs), modes(jobs)
    known = dict.fromkeys(name for job in jobs for record in (job.evaluations or {}).values()
                          for name in mapping(record, "class_iou"))  # fmt: skip
    for name in classes:
        if name not in known:
            there = f"use {', '.join(map(printable, known))}" if known else "wait for its scores"
            raise ConfigError(f"--classes {name}: no job has a score of that class", there)
    names = list(rows[0].values) if rows else []
    cells = []
    for mode in columns:
        for setting in rows:
            records = _records(setting, mode)
            if records:
                line = [[_iou(record, name) for record in records] for name in classes]
                line.append([_mean(record, classes) for record in records])
                values = [value or "-" for value in setting.values.values()] or [setting.name]
                title = SHORT_MODE_TITLES.get(mode, mode)
                cells.append([title, *values, *(_cell(scores) for scores in line)])
    header = ["mode", *(names or ["setting"]), *classes, "their mean"]
    title = "IoU in percent of chosen classes, mean ± standard deviation over seeds"
    return Sheet(title, header, cells, 1 + len(names or ["setting"]))


def _records(setting: Setting, mode: str) -> list[Mapping[str, Any]]:
    """Return the records of a setting in a mode, one for each training."""
    found = {job.training: mapping(job.evaluations, mode) for job in setting.jobs}
    return [record for record in found.values() if record]


def _iou(record: Mapping[str, Any], name: str) -> float | None:
    return number(record, "class_iou", name)


def _mean(record: Mapping[str, Any], classes: Sequence[str]) -> float | None:
    """Return the mean IoU of those of the classes that occur."""
    ious = [iou for name in classes if (iou := _iou(record, name)) is not None]
    return fmean(ious) if ious else None


def _cell(scores: Sequence[float | None]) -> str:
    known = [score for score in scores if score is not None]
    if not known:
        return "-"
    of = mean(known)
    return percent(of.value) + ("" if of.deviation is None else f" ± {percent(of.deviation)}")
