"""Comparison of two sets of runs: whether they differ by more than the noise of seeds."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gcseg.errors import ConfigError, OutputError
from gcseg.report.sweep.scores import order_modes, settings
from gcseg.report.sweep.sheets import Sheet, interval
from gcseg.report.sweep.statistics import difference, mean
from gcseg.runs.folder import CONFIG_FILE, RESULTS_FILE, RunFolder
from gcseg.runs.modes import SHORT_MODE_TITLES
from gcseg.runs.shapes import RESULTS, cleaned, in_words
from gcseg.runs.shown import mapping, miou
from gcseg.sweeps.ledger import Job, shown_jobs
from gcseg.system.files import at_home
from gcseg.system.records import RecordError, read_json
from gcseg.system.text import brief, percent

LEDGER = "ledger.sqlite"
_SHARED = ("backbone", "head", "dataset", "iters")
"""Entries of results.json on which a run's scores depend."""


@dataclass(frozen=True)
class Side:
    """Runs of one setting.

    Args:
        name: Name of the side, as given.
        scores: mIoU as a fraction, by mode, then by training.
        runs: Known entries of each training: backbone, head, dataset, iters, seed.
        scored: Splits that were scored, by mode, as `val (101 images)`.
    """

    name: str
    scores: Mapping[str, Mapping[str, float]]
    runs: Sequence[Mapping[str, Any]]
    scored: Mapping[str, set[str]]


def read_jobs(folder: Path, notices: list[str]) -> list[Job]:
    """Read the jobs of a sweep folder, to show them.

    Args:
        folder: Folder of the sweep.
        notices: List to which a notice is appended for each job that has odd entries, or is left
            out because of them.

    Raises:
        ConfigError: The folder is not a sweep's.
        OutputError: The ledger is damaged.
    """
    if not _is_sweep(folder):
        raise ConfigError(
            f"{folder} is not a sweep folder (no {LEDGER})",
            "python -m gcseg.sweeps list names them",
        )
    return shown_jobs(folder / LEDGER, notices)


def read_side(given: str, notices: list[str]) -> Side:
    """Read one side of a comparison: a sweep folder, one setting of it, or run folders.

    Args:
        given: `FOLDER` of a sweep of one setting, `FOLDER:name=value ...` for one of several,
            or run folders, separated by commas; `*` in their names stands for anything.
        notices: List to which a notice is appended for each file with odd entries, which are left
            out.

    Raises:
        ConfigError: `given` is none of these, or there is no score.
        OutputError: A file is damaged.
    """
    folder, _, wanted = given.partition(":")
    if _is_sweep(Path(given)):
        folder, wanted = given, ""
    if _is_sweep(Path(folder)):
        side = _of_sweep(given, read_jobs(Path(folder), notices), wanted.split())
    else:
        side = _of_runs(given, notices)
    if not side.scores:
        raise ConfigError(f"{given} has no score yet", "let it finish, or give other runs")
    return side


def compare_sides(first: Side, second: Side, mode: str | None = None) -> tuple[Sheet, list[str]]:
    """Return a table of both sides' means with intervals, and a sentence for each mode.

    Args:
        first: Side A.
        second: Side B; differences are B minus A.
        mode: The only mode to compare; None for all.

    Raises:
        ConfigError: No mode has scores on both sides.
    """
    both = [one for one in order_modes(first.scores) if one in second.scores]
    if mode is not None and mode not in both:
        has = f"; both have {', '.join(both)}" if both else ""
        raise ConfigError(f"--mode {mode} is not scored on both sides{has}", _hint(both))
    if not both:
        ours, theirs = ", ".join(first.scores), ", ".join(second.scores)
        raise ConfigError(f"A is scored in {ours}, B in {theirs}", _hint(both))
    rows, lines = [], []
    for one in both if mode is None else [mode]:
        scores = [list(side.scores[one].values()) for side in (first, second)]
        for side, values in zip("AB", scores, strict=True):
            of = mean(values)
            deviation = "" if of.deviation is None else percent(of.deviation)
            numbers = [percent(of.value), deviation, interval(of.value, of.margin)]
            rows.append([SHORT_MODE_TITLES.get(one, one), side, str(of.count), *numbers])
        change = difference(*scores)
        between = interval(change.value, change.margin, "+")
        rows.append(["", "B - A", "", percent(change.value, sign="+"), "", between])
        lines.append(f"{SHORT_MODE_TITLES.get(one, one)}: {_sentence(*scores)}")
    header = ["mode", "", "runs", "mean", "sd", "95 % interval"]
    compared = both if mode is None else [mode]
    return Sheet("mIoU in percent", header, rows, 2), [*lines, *_doubts(first, second, compared)]


def _sentence(first: Sequence[float], second: Sequence[float]) -> str:
    """Return in words whether two sets of scores differ by more than the noise."""
    change = difference(first, second)
    higher = "B is higher" if change.value > 0 else "B is lower"
    size = percent(abs(change.value))
    if change.margin is None:
        single = [name for name, side in (("A", first), ("B", second)) if len(side) == 1]
        has = "A and B have one run each" if len(single) == 2 else f"{single[0]} has one run"
        differ = f"{higher} by {size}" if change.value else "they are equal"
        return f"{differ}, but {has}, which tells nothing about noise; seeds=3 trains several."
    between = interval(change.value, change.margin, "+")
    if change.in_the_noise is None:
        return (
            f"{higher} by {size}, but on each side all scores are equal, as of one training that "
            "is scored again, which tells nothing about noise."
        )
    if change.in_the_noise:
        return (
            f"the difference of {percent(change.value, sign='+')} is within the noise ({between})."
        )
    return f"{higher} by {size}, which is more than the noise ({between})."


def _of_sweep(given: str, jobs: Sequence[Job], wanted: Sequence[str]) -> Side:
    """Return the runs of one setting of a sweep."""
    rows = settings(jobs)
    asked = dict(one.partition("=")[::2] for one in wanted)
    found = [
        row for row in rows if all(row.values.get(name) == value for name, value in asked.items())
    ]
    if len(found) != 1:
        choices = [row.values.items() for row in found or rows]
        names = [" ".join(f"{name}={value}" for name, value in values) for values in choices]
        listed = "; ".join(names[:6]) + ("; ..." if len(names) > 6 else "")
        number = "no setting" if not found else f"{len(found)} settings"
        raise ConfigError(
            f"{given} is {number} of the sweep",
            f"choose one as FOLDER:'NAME=VALUE ...', of {listed}" if listed else "it has no jobs",
        )
    trainings = {job.training: job.settings for job in found[0].jobs}
    scored = _scored(job.evaluations or {} for job in found[0].jobs)
    return Side(given, found[0].scores, list(trainings.values()), scored)


def _of_runs(given: str, notices: list[str]) -> Side:
    """Return the runs of some folders, each once."""
    folders: dict[Path, None] = {}
    whole = os.path.isdir(given)  # noqa: PTH112  # takes names of any length
    for part in [given] if whole else filter(None, map(str.strip, given.split(","))):
        path = at_home(part)
        # pathlib's glob takes no absolute patterns before Python 3.13.
        there = os.path.exists(path)  # noqa: PTH110
        names = [str(path)] if there else glob.glob(str(path))  # noqa: PTH207
        found = [Path(name).resolve() for name in sorted(names) if _is_run(Path(name))]
        if not found:
            raise ConfigError(
                f"{part} is neither a run folder nor a sweep folder",
                "name a sweep folder, or run folders separated by commas",
            )
        folders |= dict.fromkeys(found)
    scores: dict[str, dict[str, float]] = {}
    runs = []
    for folder in folders:
        results = _read(RunFolder(folder).results, notices)
        runs.append(results)
        for mode, evaluation in mapping(results, "evaluations").items():
            value = miou(evaluation)
            if value is not None:
                scores.setdefault(mode, {})[str(folder)] = value
    return Side(given, scores, runs, _scored(mapping(run, "evaluations") for run in runs))


def _scored(runs: Iterable[Mapping[str, Mapping[str, Any]]]) -> dict[str, set[str]]:
    """Return, by mode, the splits on which runs were scored."""
    scored: dict[str, set[str]] = {}
    for evaluations in runs:
        for mode, record in evaluations.items():
            split = f"{record.get('split')} ({record.get('images')} images)"
            scored.setdefault(mode, set()).add(split)
    return scored


def _is_run(folder: Path) -> bool:
    return any(os.path.isfile(folder / name) for name in (RESULTS_FILE, CONFIG_FILE))  # noqa: PTH113


def _is_sweep(folder: Path) -> bool:
    return os.path.isfile(folder / LEDGER)  # noqa: PTH113  # takes names of any length


def _read(path: Path, notices: list[str]) -> Mapping[str, Any]:
    """Read a run's results.json without its odd entries; empty if it is not written yet."""
    odd: list[str] = []
    try:
        results = cleaned(read_json(path, within=path.parent), RESULTS, odd)
    except FileNotFoundError:
        return {}
    except RecordError as error:
        raise OutputError(f"{path} is damaged ({error})", "leave that run out") from None
    if results is None:
        raise OutputError(f"{path} is damaged ({in_words(odd)})", "leave that run out")
    if odd:
        notices.append(f"{path} has odd entries, which are left out: {in_words(odd)}")
    return results  # type: ignore[no-any-return]


def _doubts(first: Side, second: Side, compared: Sequence[str]) -> list[str]:
    """Return the reservations about the comparison."""
    lines = []
    for name, side in (("A", first), ("B", second)):
        for mode in compared:
            count, scored = len(side.runs), len(side.scores[mode])
            if scored < count:
                where = SHORT_MODE_TITLES.get(mode, mode)
                missing = f"{count - scored} of the {count} runs of {name}"
                lines.append(f"note: without a score in {where}: {missing}")
        for key in _SHARED:
            values = _values(side, key)
            if len(values) > 1:
                lines.append(f"note: the runs of {name} differ in {key}: {', '.join(values)}")
        seeds = [brief(run["seed"]) for run in side.runs if "seed" in run]
        twice = sorted({seed for seed in seeds if seeds.count(seed) > 1})
        if twice:
            lines.append(
                f"note: several runs of {name} have seed {', '.join(twice)}, and may "
                "be alike for that reason"
            )
    for mode in compared:
        splits = sorted(first.scored[mode] | second.scored[mode])
        if len(splits) > 1:
            where = SHORT_MODE_TITLES.get(mode, mode)
            lines.append(f"note: in {where} not all are scored on the same: {', '.join(splits)}")
    if (ours := _values(first, "dataset")) != (theirs := _values(second, "dataset")):
        lines.append(f"note: A is of {', '.join(ours)}, B of {', '.join(theirs)}")
    return lines


def _values(side: Side, key: str) -> list[str]:
    return sorted({brief(run[key]) for run in side.runs if key in run})


def _hint(both: Sequence[str]) -> str:
    return "use one of those" if both else "score both in one mode: python -m gcseg.eval"
