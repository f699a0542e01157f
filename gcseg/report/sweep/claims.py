"""Comparison of a sweep's settings with a baseline, and verdicts on what is claimed of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, Literal

from gcseg.config.compose import source_folder
from gcseg.report.sweep.scores import Setting, overrides, repeats
from gcseg.report.sweep.sheets import Sheet, interval
from gcseg.report.sweep.statistics import (
    MOST_SEEDS,
    Difference,
    difference,
    paired_difference,
    seeds_to_tell,
)
from gcseg.report.sweep.tables import label
from gcseg.runs.modes import SHORT_MODE_TITLES
from gcseg.runs.shapes import COMPARISON, MULTIRUN, Entries
from gcseg.runs.shown import mapping, number, shown_record
from gcseg.system.text import brief, counted, percent, shown

if TYPE_CHECKING:
    from gcseg.sweeps.ledger import Job

Kind = Literal["better", "no worse", "alike"]
Verdict = Literal["supported", "not supported", "undecided"]

RECORD = "multirun.yaml"
_SHAPE = Entries({**MULTIRUN.shapes, "comparison": COMPARISON})
_PERCENT = 100.0


@dataclass(frozen=True)
class Claim:
    """What is said of two sides, each one or several settings of a sweep.

    Args:
        setting: Values of the first side, as `backbone/context=gc`.
        kind: `better`, `no worse` or `alike`.
        than: Values of the second side.
        within: Difference of mIoU, a fraction, up to which a side is no worse, or both are alike.
    """

    setting: str
    kind: Kind
    than: str
    within: float = 0.0

    @property
    def words(self) -> str:
        """The claim in words, as `no worse by 0.50`."""
        if self.kind == "better":
            return self.kind
        return f"{self.kind} {'by' if self.kind == 'no worse' else 'within'} {percent(self.within)}"

    def verdict(self, change: Difference) -> Verdict:
        """Return what a difference, of the first side minus the second, says of the claim.

        The claim is supported if the whole interval is where the claim says, not supported if the
        whole interval is where it says it is not, and undecided otherwise, without an interval and
        with one of no width, which shows no noise.
        """
        if not change.margin:
            return "undecided"
        low, high = change.value - change.margin, change.value + change.margin
        if self.kind == "alike":
            inside, outside = max(-low, high) < self.within, max(low, -high) > self.within
        else:  # better is the same with within = 0
            inside, outside = low > -self.within, high < -self.within
        return "supported" if inside else "not supported" if outside else "undecided"

    def distance(self, value: float) -> float:
        """Return how far a difference is from the nearest bound of the claim."""
        return abs(abs(value) - self.within) if self.kind == "alike" else abs(value + self.within)


@dataclass(frozen=True)
class Comparison:
    """What a sweep's table compares.

    Args:
        baseline: Values of the setting that others are compared with; None for the first setting.
        source: Source of the claims; empty if unknown.
        claims: The claims.
        published_in: Title and source of published results; empty if there are none.
        published: Published values by name, with the values of their settings.
    """

    baseline: str | None = None
    source: str = ""
    claims: Sequence[Claim] = ()
    published_in: str = ""
    published: Sequence[tuple[str, Mapping[str, float]]] = ()


@dataclass(frozen=True)
class _Compared:
    """Two sides in one mode.

    Args:
        change: First side minus second; None without scores on both sides.
        count: Number of seeds or folds (on each side, the smaller number if they are not shared).
        deviation: See `seeds_to_tell`; None if it can't be estimated.
        sides: See `seeds_to_tell`.
        left_out: Number of scores without a partner.
    """

    change: Difference | None
    count: int = 0
    deviation: float | None = None
    sides: int = 1
    left_out: int = 0


def read_comparison(folder: Path, notices: list[str] | None = None) -> Comparison:
    """Read what a sweep compares, from the record of its settings.

    The record of an earlier version does not have it; then it is that of the file of
    experiments/ablation/ that the sweep's command names.

    Args:
        folder: Folder of the sweep.
        notices: List to which a notice is appended on odd claims, which are left out.
    """
    notices = [] if notices is None else notices
    odd: list[str] = []
    record = shown_record(folder, RECORD, _SHAPE, odd)
    if "comparison" in record:
        return _parsed(mapping(record, "comparison"), notices)
    for word in mapping(record, "hydra", "overrides").get("task", ()):
        name, _, value = word.partition("=")
        if name.lstrip("+") == "ablation":
            ours = source_folder("experiments") / "ablation"
            for path in sorted(ours.rglob("*.yaml")):  # the name is not followed as a path
                if path.relative_to(ours).with_suffix("").as_posix() == value:
                    known = shown_record(path.parent, path.name, _SHAPE, odd)
                    return _parsed(mapping(known, "comparison"), notices)
    return Comparison()


def _parsed(record: Mapping[str, Any], notices: list[str]) -> Comparison:
    claims = []
    for name in mapping(record, "claims"):
        given: Any = mapping(record, "claims", name)  # empty for null
        kind, within = given.get("is"), number(given, "within") or 0.0
        sides = given.get("setting"), given.get("than")
        fits = kind == "better" or (kind in ("no worse", "alike") and within > 0)
        if not all(sides) or not fits:
            notices.append(f"claim {shown(name)} of the sweep is left out: it is odd")
            continue
        claims.append(Claim(sides[0], kind, sides[1], within / _PERCENT))
    published = [
        (given["setting"], values)
        for name in mapping(record, "published")
        if (given := mapping(record, "published", name)).get("setting")
        and (values := dict(mapping(given, "values")))
    ]
    return Comparison(
        record.get("baseline"),
        record.get("source") or "",
        tuple(claims),
        record.get("published_in") or "",
        tuple(published),
    )


def comparison_sheet(
    rows: Sequence[Setting], columns: Sequence[str], comparison: Comparison
) -> tuple[Sheet | None, list[str]]:
    """Return a table of differences with intervals and verdicts, and lines on what is left out.

    A row for each mode and each setting that is not the baseline, then one for each further claim.
    None if nothing is claimed and no setting has several scores.

    Args:
        rows: All settings of the sweep.
        columns: Modes in their order.
        comparison: What is compared.
    """
    if len(rows) < 2 or not columns:
        return None, []
    several = any(len(row.in_mode(mode)) > 1 for row in rows for mode in columns)
    if not several and not comparison.claims:
        return None, []
    lines: list[str] = []
    pairs = list(_pairs(rows, comparison, lines))
    word = repeats(rows)
    cells = []
    left_out = apart = 0
    for mode in columns:
        for first, second, claim in pairs:
            compared = _compare(first, second, mode)
            left_out += compared.left_out
            apart += compared.sides == 2
            if compared.change is not None or claim is not None:
                title = SHORT_MODE_TITLES.get(mode, mode)
                names = [title, _name(first, rows), _name(second, rows)]
                cells.append([*names, *_cells(compared, claim, bool(comparison.claims), word)])
    if not cells:
        return None, lines
    header = ["mode", "setting", "against", word, "difference", "95 % interval"]
    if comparison.claims:
        header += ["claim", "verdict"]
    header.append(f"{word} to tell")
    title = f"Differences of mIoU in percentage points, {word} in pairs"
    if comparison.claims and comparison.source:
        title += f"; claims of {comparison.source}"
    if left_out:
        lines.append(f"differences: {counted(left_out, 'score')} without a partner of the same "
                     f"{word.removesuffix('s')} left out")  # fmt: skip
    if apart:
        lines.append(f"differences: {counted(apart, 'comparison')} not in pairs, as the sides have "
                     f"other {word}")  # fmt: skip
    bold = {
        (row, column)
        for row, line in enumerate(cells)
        for column, cell in enumerate(line)
        if cell in ("supported", "not supported")
    }
    return Sheet(title, header, cells, 3, frozenset(bold)), lines


def chosen(rows: Sequence[Setting], wanted: str) -> list[Setting]:
    """Return the settings that have some values, as `backbone/context=gc seed=1`."""
    asked = dict(one.partition("=")[::2] for one in wanted.split())
    if not asked:
        return []
    return [
        row
        for row in rows
        if all(_same(row.values.get(name), value) for name, value in asked.items())
    ]


def _same(value: str | None, asked: str) -> bool:
    """Return whether a value is the one asked for; Hydra writes true as True."""
    switches = ("true", "false")
    return value == asked or (
        value is not None and value.lower() in switches and value.lower() == asked.lower()
    )


def _pairs(
    rows: Sequence[Setting], comparison: Comparison, lines: list[str]
) -> Iterator[tuple[list[Setting], list[Setting], Claim | None]]:
    """Yield both sides of each comparison, with the claim on them if there is one."""
    baseline = rows[:1]
    if comparison.baseline is not None:
        baseline = chosen(rows, comparison.baseline)
        if len(baseline) != 1:
            lines.append(f"comparison.baseline={shown(comparison.baseline)} is "
                         f"{counted(len(baseline), 'setting')} of the sweep: the first setting is "
                         "the baseline")  # fmt: skip
            baseline = rows[:1]
    claims = []
    for claim in comparison.claims:
        sides = chosen(rows, claim.setting), chosen(rows, claim.than)
        missing = [wanted for wanted, side in zip((claim.setting, claim.than), sides, strict=True)
                   if not side]  # fmt: skip
        if missing:
            lines.append(f"claim on {shown(claim.setting)} and {shown(claim.than)} left out: the "
                         f"sweep has no {shown(missing[0])}")  # fmt: skip
        else:
            claims.append((*sides, claim))
    for row in rows:
        if row is baseline[0]:
            continue
        of_row = [one for one in claims if one[0] == [row] and one[1] == list(baseline)]
        yield from of_row
        if not of_row:
            yield [row], list(baseline), None
        claims = [one for one in claims if one not in of_row]
    yield from claims


def _compare(first: Sequence[Setting], second: Sequence[Setting], mode: str) -> _Compared:
    """Compare two sides, by pairs of scores of one seed and fold where both have two or more."""
    ours, theirs = _by_repeat(first, mode), _by_repeat(second, mode)
    if not ours or not theirs:
        return _Compared(None)
    shared = [repeat for repeat in ours if repeat in theirs]
    alone = len(ours) + len(theirs) - 2 * len(shared)
    pairs = [ours[repeat] for repeat in shared], [theirs[repeat] for repeat in shared]
    if len(shared) >= 2:
        changes = [a - b for a, b in zip(*pairs, strict=True)]
        change = paired_difference(pairs[1], pairs[0])
        return _Compared(change, len(shared), stdev(changes), left_out=alone)
    values = list(ours.values()), list(theirs.values())
    fewest = min(map(len, values))
    if fewest >= 2:  # other seeds on both sides
        deviation = math.sqrt(sum(stdev(side) ** 2 for side in values))
        return _Compared(difference(values[1], values[0]), fewest, deviation, sides=2)
    if shared:
        return _Compared(Difference(pairs[0][0] - pairs[1][0], None), 1, left_out=alone)
    return _Compared(Difference(fmean(values[0]) - fmean(values[1]), None), fewest, sides=2)


def _by_repeat(side: Sequence[Setting], mode: str) -> dict[tuple[str, str], float]:
    """Return a side's scores by seed and fold: means of those that all its settings have."""
    found: dict[tuple[str, str], list[float]] = {}
    for setting in side:
        scores = setting.scores.get(mode, {})
        repeated = {job.training: _repeat(job) for job in setting.jobs}
        for training, score in scores.items():
            found.setdefault(repeated[training], []).append(score)
    return {repeat: fmean(scores) for repeat, scores in found.items() if len(scores) == len(side)}


def _repeat(job: Job) -> tuple[str, str]:
    fold = overrides(job, ["dataset.fold"])["dataset.fold"]
    return brief(job.settings.get("seed")), fold


def _cells(compared: _Compared, claim: Claim | None, claimed: bool, word: str) -> list[str]:
    change = compared.change
    if change is None:
        return ["0", "", "", *([claim.words, "no score yet"] if claim else []), ""]
    against = claim or Claim("", "better", "")  # without a claim: whether it differs from 0
    verdict = against.verdict(change)
    cells = [
        str(compared.count),
        percent(change.value, sign="+"),
        interval(change.value, change.margin, "+"),
    ]
    if claimed:
        at = f"undecided at {_of(compared.count, word)}"
        cells += [claim.words, at if verdict == "undecided" else verdict] if claim else ["", ""]
    needed = ""
    if verdict == "undecided" and compared.deviation:
        count = seeds_to_tell(
            against.distance(change.value), compared.deviation, sides=compared.sides
        )
        needed = f"over {MOST_SEEDS}" if count is None else str(max(count, compared.count + 1))
    return [*cells, needed]


def _of(count: int, word: str) -> str:
    """Return a number of seeds or folds in words."""
    return f"{count} {word.removesuffix('s') if count == 1 else word}"


def _name(side: Sequence[Setting], rows: Sequence[Setting]) -> str:
    """Return a label of a side, of the values that all its settings share."""
    if len(side) == 1:
        return label(side[0])
    shared = set.intersection(*(set(row.values.items()) for row in side))
    values = {name: value for name, value in side[0].values.items() if (name, value) in shared}
    return label(replace(side[0], values=values)) if values else f"{len(side)} of {len(rows)}"
