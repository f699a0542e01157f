"""Plot of a sweep: mIoU against the length of training or another varied setting."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gcseg.report.sweep.scores import Setting, repeats
from gcseg.report.sweep.statistics import mean
from gcseg.runs.modes import SHORT_MODE_TITLES
from gcseg.system.files import atomic_write
from gcseg.system.text import brief, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_LINES = 24
"""Most lines that can be told apart; with more, the settings are written below each other."""
_MOST_ROWS = 60
_COLUMNS = 4
_LOG_RATIO = 20
"""Ratio from which on an axis of positive numbers is logarithmic."""
_LARGEST = 1e100
"""Largest number on an axis; sums and squares of larger ones are infinite."""
_NAME_LENGTH = 48
_TITLE_LENGTH = 100
_MOST_PANELS = 12
"""Modes that are drawn."""
_COLORS = ("#4269d0", "#e0850b", "#3ca951", "#d0413f", "#8a5bd6", "#1d9fb0", "#97603b", "#d3529e")
_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)))
_MARKERS = "osD"

_BEYOND = 1.0
"""Percent of mIoU by which an axis extends below 0 and above 100, for the marks there."""

# Sizes in inches.
_PANEL = 3.5
_HEIGHT = 3.4
_ROW = 0.24
_CHARACTER = 0.075


@dataclass(frozen=True)
class _Line:
    """Settings that differ only in the number on the horizontal axis."""

    name: str
    points: Sequence[tuple[float, Setting]]


def write_plot(folder: Path, settings: Sequence[Setting], modes: Sequence[str]) -> list[Path]:
    """Write sweep.png and sweep.svg: a panel for each mode, with 95 % intervals.

    Args:
        folder: Folder of the files; created if it is missing.
        settings: Settings of the sweep; those without a score are left out.
        modes: Modes of test-time augmentation, in the order of the panels.

    Returns:
        Paths of the files; empty if nothing has a score.

    Raises:
        OutputError: The folder can't be written.
    """
    modes = [mode for mode in modes if any(setting.in_mode(mode) for setting in settings)]
    missing = Counter(
        job.state for setting in settings for job in setting.jobs if job.evaluations is None
    )
    settings = [setting for setting in settings if any(map(setting.in_mode, modes))]
    if not modes:
        return []
    left_out = len(modes) - _MOST_PANELS
    modes = modes[:_MOST_PANELS]
    # Figure without pyplot: no display, no state shared with a caller's plots.
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    paths = [folder / "sweep.png", folder / "sweep.svg"]
    # A fixed salt gives the same names, and so the same SVG file, for the same scores.
    with rc_context({"svg.hashsalt": "gcseg"}), warnings.catch_warnings():
        # Letters that the font lacks show as boxes; the scores are still right.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        axis = _axis(settings)
        if axis is None:
            figure = _rows(Figure, settings, modes)
        else:
            figure = _lines(Figure, settings, modes, axis)
        absent = [f"{count} {state}" for state, count in missing.items()]
        absent += [f"{left_out} modes"] if left_out > 0 else []
        if absent:
            words = f"not drawn: {', '.join(absent)}"
            figure.supxlabel(words, fontsize=8, color="0.4", x=0.01, ha="left")
        for path in paths:
            metadata = {"Date": None} if path.suffix == ".svg" else {}
            with atomic_write(path) as file:
                figure.savefig(file, format=path.suffix[1:], dpi=120, metadata=metadata)
    return paths


def _axis(settings: Sequence[Setting]) -> str | None:
    """Return the numeric setting to plot against: iters, or the first that gives lines."""
    names = sorted(settings[0].values, key=lambda name: name != "iters")
    for name in names:
        numbers = {_number(setting.values[name]) for setting in settings}
        if None in numbers or len(numbers) < 2:
            continue
        lines = _split(settings, name)
        # A random search rarely has two settings on a line.
        if len(lines) <= _MOST_LINES and 2 * len(lines) <= len(settings):
            return name
    return None


def _split(settings: Sequence[Setting], axis: str) -> list[_Line]:
    """Return a line for each combination of the other settings."""
    names = _varying(settings)
    lines: dict[str, list[tuple[float, Setting]]] = {}
    for setting in settings:
        number = _number(setting.values[axis]) or 0.0
        others = [name for name in names if name != axis]
        lines.setdefault(_label(setting, others), []).append((number, setting))
    return [
        _Line(name, sorted(points, key=lambda point: point[0])) for name, points in lines.items()
    ]


def _lines(
    figure: type[Figure], settings: Sequence[Setting], modes: Sequence[str], axis: str
) -> Figure:
    """Plot curves against a numeric setting."""
    lines = _split(settings, axis)
    several = len(lines) > 1
    columns = min(len(modes), _COLUMNS)
    panels = -(-len(modes) // columns)
    names = [_short(line.name) for line in lines]
    titles = _short(", ".join(name for name in _varying(settings) if name != axis), _TITLE_LENGTH)
    legend = _CHARACTER * max(map(len, [*names, titles])) + 0.9 if several else 0.0
    height = max(_HEIGHT * panels, 0.21 * len(lines) + 0.6 if several else 0.0)
    drawn = figure(
        (_PANEL * columns + 0.5 + legend, height), layout="constrained", facecolor="white"
    )
    grid = drawn.subplots(panels, columns, sharex=True, sharey=True, squeeze=False).ravel()
    numbers = sorted({number for line in lines for number, _ in line.points})
    for mode, axes in zip(modes, grid, strict=False):
        for place, line in enumerate(lines):
            _line(axes, line, mode, place)
        _frame(axes, mode)
        axes.set_xlabel(_short(axis), parse_math=False)
        _scale(axes, numbers)
    low, high = grid[0].get_ylim()
    grid[0].set_ylim(*_possible(low, high))
    for axes in grid[::columns]:
        axes.set_ylabel("mIoU, %")
    for axes in grid[len(modes) :]:
        axes.set_axis_off()
    _title(drawn, settings, modes)
    if several:
        _legend(drawn, grid[0], names, titles)
    return drawn


def _scale(axes: Axes, numbers: Sequence[float]) -> None:
    """Scale the axis of a numeric setting: logarithmic, or with a tick at each value."""
    if numbers[0] > 0 and numbers[-1] / numbers[0] >= _LOG_RATIO:
        axes.set_xscale("log")
    elif min(b - a for a, b in pairwise(numbers)) > 0.15 * (numbers[-1] - numbers[0]):
        axes.set_xticks(numbers, [f"{number:g}" for number in numbers])
    axes.margins(x=0.08)


def _legend(figure: Figure, axes: Axes, names: Sequence[str], title: str) -> None:
    """Write the legend of all panels, from the lines of one of them."""
    handles = [handle for handle in axes.get_lines() if handle.get_gid() == "mean"]
    box = figure.legend(
        handles, names, loc="outside right upper", fontsize=8, frameon=False, title=title,
        title_fontsize=8,
    )  # fmt: skip
    for text in [*box.get_texts(), box.get_title()]:
        text.set_parse_math(False)


def _line(axes: Axes, line: _Line, mode: str, place: int) -> None:
    """Plot a line's means, their intervals as a band, and the single scores as dots."""
    style = {
        "color": _COLORS[place % len(_COLORS)],
        "linestyle": _DASHES[place // len(_COLORS) % len(_DASHES)],
        "marker": _MARKERS[place // len(_COLORS) % len(_MARKERS)],
    }
    points = [(x, setting.in_mode(mode)) for x, setting in line.points if setting.in_mode(mode)]
    means = [(x, mean(scores)) for x, scores in points]
    axes.plot(
        [x for x, _ in means], [100 * one.value for _, one in means], gid="mean",
        linewidth=1.6, markersize=4.5, **style,
    )  # fmt: skip
    sure = [(x, one.value, one.margin) for x, one in means if one.margin is not None]
    if not sure:
        return
    low = [100 * (value - margin) for _, value, margin in sure]
    high = [100 * (value + margin) for _, value, margin in sure]
    # The band of few seeds is much wider than their scatter, and must not hide the means.
    axes.fill_between([x for x, *_ in sure], low, high, color=style["color"], alpha=0.13, lw=0)
    axes.vlines([x for x, *_ in sure], low, high, color=style["color"], alpha=0.45, lw=1)
    for x, scores in points:
        if len(scores) > 1:
            axes.plot(
                [x] * len(scores), [100 * score for score in scores],
                ".", color=style["color"], markersize=3.5, alpha=0.6,
            )  # fmt: skip


def _rows(figure: type[Figure], settings: Sequence[Setting], modes: Sequence[str]) -> Figure:
    """Plot settings below each other, where no number was varied."""
    shown = settings
    if len(settings) > _MOST_ROWS:  # the best of them, in the given order
        order = sorted(settings, key=lambda setting: -_highest(setting, modes))[:_MOST_ROWS]
        shown = [setting for setting in settings if setting in order]
    varied = _varying(settings)
    names = [_short(_label(setting, varied) or setting.name) for setting in shown]
    columns = min(len(modes), _COLUMNS)
    panels = -(-len(modes) // columns)
    width = _PANEL * columns + _CHARACTER * max(map(len, names)) + 0.5
    height = panels * (_ROW * len(shown) + 0.9) + 0.6
    drawn = figure((width, height), layout="constrained", facecolor="white")
    grid = drawn.subplots(panels, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for place, (mode, axes) in enumerate(zip(modes, grid, strict=False)):
        for row, setting in enumerate(shown):
            _row(axes, row, setting.in_mode(mode), _COLORS[place % len(_COLORS)])
        _frame(axes, mode)
        axes.set_xlabel("mIoU, %")
        axes.tick_params(labelbottom=True)
        axes.margins(x=0.08)
        axes.set_yticks(range(len(shown)), names, parse_math=False)
        axes.set_ylim(len(shown) - 0.5, -0.5)
    left, right = grid[0].get_xlim()
    grid[0].set_xlim(*_possible(left, right))
    for axes in grid[::columns]:
        axes.set_ylabel(_short(", ".join(varied), _TITLE_LENGTH), parse_math=False)
    for axes in grid[len(modes) :]:
        axes.set_axis_off()
    _title(drawn, settings, modes, len(shown))
    return drawn


def _row(axes: Axes, row: int, scores: Sequence[float], color: str) -> None:
    """Plot a setting's mean with its interval, and the single scores as dots."""
    if not scores:
        axes.text(
            0.5, row, "no score", transform=axes.get_yaxis_transform(), fontsize=7, color="0.5",
            ha="center", va="center",
        )  # fmt: skip
        return
    of = mean(scores)
    if of.margin is not None:
        axes.plot([100 * score for score in scores], [row] * len(scores), ".", color="0.45", ms=4)
        reach = 100 * of.margin
        axes.errorbar(100 * of.value, row, xerr=reach, color=color, capsize=2.5, linewidth=1.2)
    axes.plot(100 * of.value, row, "o", color=color, markersize=5)


def _frame(axes: Axes, mode: str) -> None:
    axes.set_title(_short(SHORT_MODE_TITLES.get(mode, mode)), fontsize=10, parse_math=False)
    axes.grid(color="0.9", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _title(
    figure: Figure, settings: Sequence[Setting], modes: Sequence[str], shown: int | None = None
) -> None:
    """Write the title: the subject of the sweep, and the meaning of the bands."""
    first = settings[0].jobs[0].settings
    fixed = [
        _short(brief(first[key]))
        for key in ("backbone", "head", "dataset")
        if key in first and key not in settings[0].values
    ]
    parts = [" ".join(fixed)] if fixed else []
    seeds = {len(setting.in_mode(mode)) for setting in settings for mode in modes} - {0}
    if max(seeds) > 1:
        count = f"{min(seeds)} to {max(seeds)}" if len(seeds) > 1 else f"{max(seeds)}"
        parts.append(f"mean and 95 % interval of {count} {repeats(settings)}")
    if shown is not None and shown < len(settings):
        parts.append(f"the best {shown} of {len(settings)} settings")
    if parts:
        figure.suptitle(", ".join(parts), fontsize=10, parse_math=False)


def _highest(setting: Setting, modes: Sequence[str]) -> float:
    return max(mean(setting.in_mode(mode)).value for mode in modes if setting.in_mode(mode))


def _possible(low: float, high: float) -> tuple[float, float]:
    """Limit an axis to possible values of mIoU; intervals beyond are cut off."""
    return max(low, -_BEYOND), min(high, 100 + _BEYOND)


def _varying(settings: Sequence[Setting]) -> list[str]:
    """Return the names of the values that differ among the drawn settings."""
    names = settings[0].values
    return [name for name in names if len({setting.values[name] for setting in settings}) > 1]


def _label(setting: Setting, names: Sequence[str]) -> str:
    """Return a setting's values, with names for numbers and the like that are unclear alone."""
    words = []
    for name in names:
        value = setting.values[name] or "-"
        telling = _number(value) is None and value not in ("true", "false", "null", "-")
        words.append(value if telling else f"{name.rpartition('.')[2]} {value}")
    return ", ".join(words)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) < _LARGEST else None


def _short(name: str, most: int = _NAME_LENGTH) -> str:
    name = printable(name)
    return name if len(name) <= most else f"{name[: most - 1]}…"
