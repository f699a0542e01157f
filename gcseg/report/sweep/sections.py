"""Sections of a sweep's report with tables of settings side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

from gcseg.report.sweep.scores import Setting, repeats
from gcseg.report.sweep.tables import (
    MOST_SETTINGS,
    by_spread,
    chosen,
    class_ious,
    differences,
    extras,
    label,
    mode_name,
    short_label,
)
from gcseg.report.sweep.trainings import Training
from gcseg.system.text import brief, percent
from gcseg.visualization.html import Document, Markup, details, table, text

_MANY_CLASSES = 40
"""Most classes in the dataset's order; more are sorted by how much settings differ in them."""
_LONG = 40
"""Most rows of a table that is not folded; the table of mIoU never is."""
_LONGEST = 80
"""Most characters of a setting's value."""


def add_classes(
    page: Document, rows: Sequence[Setting], mode: str, trainings: Mapping[str, Training]
) -> None:
    """Add IoU by class and setting, in cells coloured by value."""
    ious = class_ious(chosen(rows, mode), trainings, mode)
    if ious is None:
        return
    note = (
        f"IoU in percent, {mode_name(mode)}, means over {repeats(rows)}; the best of each class is "
        "bold."
    )
    if len(ious.classes) > _MANY_CLASSES:
        ious = by_spread(ious)
        note += " The classes in which settings differ most come first."
    several = len(ious.settings) > 1
    bold = set()
    cells = []
    for row, (name, values, spread) in enumerate(
        zip(ious.classes, ious.values, ious.spread, strict=True)
    ):
        highest = max((value for value in values if value is not None), default=0.0)
        bold |= {(row, place + 1) for place, value in enumerate(values)
                 if several and spread > 0 and value == highest}  # fmt: skip
        cells.append([name, *map(_heat, values), *([percent(spread)] if several else [])])
    header = ["class", *map(short_label, ious.settings), *(["range"] if several else [])]
    shown = folded(table(header, cells, bold=bold), len(cells))
    page.add("Classes", shown, note=note + _limited(rows))


def add_extras(
    page: Document,
    rows: Sequence[Setting],
    columns: Sequence[str],
    trainings: Mapping[str, Training],
) -> None:
    """Add boundary and calibration scores next to mIoU."""
    found = extras(rows, trainings, columns)
    if not found:
        return
    bold = set()
    for place, (key, best_of) in enumerate((("miou", max), ("boundary_miou", max), ("ece", min))):
        for mode in columns:
            means = {row: fmean(scores[key]) for row, (_, of, scores) in enumerate(found)
                     if of == mode and scores[key]}  # fmt: skip
            if len(set(means.values())) > 1:
                bold.add((best_of(means, key=means.__getitem__), 2 + place))
    cells = [
        [mode_name(mode), label(setting), *map(_spread, scores.values())]
        for setting, mode, scores in found
    ]
    header = ["mode", "setting", "mIoU", "boundary mIoU", "ECE"]
    page.add(
        "Boundaries and calibration",
        folded(table(header, cells, bold=bold, texts=2), len(cells)),
        note=f"In percent, mean ± standard deviation over {repeats(rows)}; of each mode the best "
        "is bold. ECE, the expected calibration error, is better when it is lower.",
    )


def add_differences(
    page: Document,
    rows: Sequence[Setting],
    columns: Sequence[str],
    trainings: Mapping[str, Training],
) -> None:
    """Add the settings that differ among the configs."""
    if len(rows) < 2:
        return
    shown = chosen(rows, columns[0] if columns else "none")
    cells = [
        [_unbroken(name), *("-" if value is None else brief(value, _LONGEST) for value in values)]
        for name, values in differences(shown, trainings)
    ]
    header = ["setting", *map(short_label, shown)]
    page.add(
        "What differs",
        table(header, cells, texts=len(header)),
        note="What the command varies, then what else differs in the config.yaml of the runs. "
        "Seeds, folders and modes of test-time augmentation are left out." + _limited(rows),
    )


def folded(content: Markup, rows: int) -> Markup:
    """Return a table, folded if it is long."""
    return content if rows <= _LONG else details(f"{rows} rows", content)


def _heat(value: float | None) -> str:
    """Return a cell whose colour is the stronger the higher its fraction is."""
    if value is None:
        return "-"
    strength = 0.5 * min(1.0, max(0.0, value))
    color = f"rgba(74, 114, 216, {strength:.2f})"
    style = f"display: block; padding: 0 .35rem; border-radius: 3px; background: {color}"
    return Markup(f'<span style="{style}">{percent(value)}</span>')


def _unbroken(name: str) -> str:
    """Return a name that is not broken across lines."""
    return Markup(f'<span style="white-space: nowrap">{text(name)}</span>')


def _spread(scores: Sequence[float]) -> str:
    """Return a mean with its standard deviation, in percent; empty without scores."""
    if not scores:
        return ""
    of = percent(fmean(scores))
    return f"{of} ± {percent(stdev(scores))}" if len(scores) > 1 else of


def _limited(rows: Sequence[Setting]) -> str:
    more = len(rows) > MOST_SETTINGS
    return f" The best {MOST_SETTINGS} of {len(rows)} settings." if more else ""
