"""Charts as SVG inside a page: text stays text, and colours suit light and dark pages."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gcseg.visualization.html import Markup, one_line
from gcseg.visualization.svg import FAINT, FONT, LINE, TEXT, WIDTH, new_figure, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = (
    "#4a72d8", "#c77a10", "#2f9e4f", "#d64541", "#8f62d9", "#16909f", "#a0673f", "#cf4f9a",
)  # fmt: skip
"""Colours of series; each has a contrast of at least 3 with both a white and a dark card."""

DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
"""Line styles of series, for when there are more series than colours."""

_HEIGHT = 2.9
_SMALL = 8.8
"""Size of the text of legends and values, in points."""
_LARGEST = 1e100
"""Largest number in a chart; sums and squares of larger ones are infinite."""
_LEAST = 1 / _LARGEST
"""Smallest number on a logarithmic axis."""
_NAME_LENGTH = 26
_LEGENDS = ((3, 12), (2, 22), (1, 50))
"""Numbers of columns of a legend, each with the characters of a name that fit into a column."""

MOST_POINTS = 400
"""Most points of a line; longer ones are drawn as means, with a band from least to greatest."""

MOST_NUMBERS = 21
"""Most classes of a confusion matrix that is drawn with names and numbers."""


@dataclass(frozen=True)
class Series:
    """A line of a chart.

    Args:
        name: Name in the legend; no entry if empty.
        x: Horizontal positions.
        y: Vertical positions, as many as `x`; NaN for a missing value.
        low: Lower end of a band around the line.
        high: Upper end of that band.
        markers: Whether each point has a marker.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    markers: bool = False


@dataclass(frozen=True)
class Mark:
    """A highlighted point with a label."""

    x: float
    y: float
    words: str


def line_chart(
    series: Sequence[Series],
    *,
    x_label: str,
    y_label: str,
    log_x: bool = False,
    log_y: bool = False,
    percent: bool = False,
    marks: Sequence[Mark] = (),
    title: str = "",
) -> Markup:
    """Draw lines over a numeric axis.

    Args:
        series: The lines; long ones are thinned.
        x_label: Label below the chart.
        y_label: Label to the left of the chart.
        log_x: Whether the horizontal axis is logarithmic, for values above 0 alone.
        log_y: Whether the vertical axis is logarithmic; values that are not positive are left out.
        percent: Whether `y` has fractions, to be shown in percent.
        marks: Points to highlight.
        title: Title for screen readers and tooltips; made of the labels if empty.
    """
    named = [one for one in series if one.name]
    longest = max((len(one_line(one.name)) for one in named), default=0)
    columns, length = next((c, n) for c, n in _LEGENDS if longest <= n or c == 1)
    rows = -(-len(named) // columns) if len(named) > 1 else 0
    with new_figure(_HEIGHT + 0.2 * rows) as figure:
        axes = figure.subplots()
        factor = 100.0 if percent else 1.0
        handles = []
        for place, one in enumerate(series):
            style = {
                "color": COLORS[place % len(COLORS)],
                "linestyle": DASHES[place // len(COLORS) % len(DASHES)],
            }
            handle = _line(axes, one, factor, style, log_y=log_y)
            handles += [handle] if one.name else []
        for mark in marks:
            _mark(axes, mark, factor)
        points = (np.isfinite(line.get_xydata()).all(1) for line in axes.get_lines())
        if log_y and any(map(np.any, points)):  # a logarithmic axis needs a point
            axes.set_yscale("log")
        if log_x:
            axes.set_xscale("log")
        _frame(axes, x_label, y_label)
        if rows:
            figure.legend(
                handles, [_short(one.name, length) for one in named], loc="outside lower left",
                ncols=min(columns, len(named)), fontsize=_SMALL, frameon=False, labelcolor=TEXT,
                handlelength=1.8, columnspacing=1.2, borderpad=0, labelspacing=0.35,
            )  # fmt: skip
        return svg(figure, title or f"{y_label} over {x_label}")


def bar_chart(
    names: Sequence[str],
    bars: Mapping[str, Sequence[float | None]],
    *,
    x_label: str,
    percent: bool = True,
    limit: float | None = None,
    title: str = "",
) -> Markup:
    """Draw horizontal bars below each other, one or two for each name.

    Args:
        names: Names of the rows, from the top.
        bars: Values by name of the quantity, one for each row; None for no bar. Those of the
            first quantity are written next to their bars.
        x_label: Label below the chart.
        percent: Whether values are fractions, to be shown in percent.
        limit: End of the axis; if None, the greatest value, or 100 % for fractions.
        title: See `line_chart`.
    """
    factor = 100.0 if percent else 1.0
    thickness = 0.8 / max(1, len(bars))
    row = 0.24 if len(bars) > 1 else 0.2
    several = len(bars) > 1
    with new_figure(0.62 + row * len(names) + (0.25 if several else 0)) as figure:
        axes = figure.subplots()
        places = np.arange(len(names))
        handles: list[Any] = []
        for number, values in enumerate(bars.values()):
            lengths = [0.0 if value is None else factor * value for value in values]
            offset = (number - (len(bars) - 1) / 2) * thickness
            handles.append(
                axes.barh(places + offset, lengths, height=thickness, color=COLORS[number])
            )
            if number == 0:
                for place, (value, length) in enumerate(zip(values, lengths, strict=True)):
                    words = "–" if value is None else f"{length:.1f}"
                    axes.text(
                        1.01, place, words, transform=axes.get_yaxis_transform(), va="center",
                        fontsize=_SMALL, color=TEXT,
                    )  # fmt: skip
        _frame(axes, x_label, "")
        axes.grid(visible=False, axis="y")
        axes.set_yticks(places, [_short(name) for name in names])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(names) - 0.5, -0.5)
        end = limit if limit is not None else (1.0 if percent else None)
        axes.set_xlim(0, None if end is None else factor * end)
        if several:
            figure.legend(
                handles, list(bars), loc="outside lower left", ncols=2, fontsize=_SMALL,
                labelcolor=TEXT, handlelength=1.2, borderpad=0, frameon=False,
            )  # fmt: skip
        return svg(figure, title or f"{', '.join(bars)} of {len(names)} rows")


def heatmap(matrix: npt.ArrayLike, names: Sequence[str], *, title: str = "") -> Markup:
    """Draw a confusion matrix by shares of each row's pixels: right ones blue, wrong ones red.

    With up to `MOST_NUMBERS` classes, names are at the sides and percentages in the cells.

    Args:
        matrix: Counts of pixels, C x C; rows are true classes, columns predicted ones.
        names: Names of the C classes.
        title: See `line_chart`.
    """
    shares = normalised(matrix)
    count = len(names)
    small = count <= MOST_NUMBERS
    # Below one half, colour strength grows faster than the share, so that rare errors show too.
    pixels = np.zeros((count, count, 4))
    pixels[..., :3] = np.array([214, 69, 65]) / 255
    pixels[np.arange(count), np.arange(count), :3] = np.array([74, 114, 216]) / 255
    pixels[..., 3] = np.nan_to_num(shares) ** 0.6
    with new_figure(WIDTH) as figure:
        axes = figure.subplots()
        axes.imshow(pixels, interpolation="none")  # one pixel of the embedded PNG per cell
        if small:
            size = min(8.0, 100 / count)
            for (row, column), share in np.ndenumerate(shares):
                if share >= 0.005:
                    axes.text(
                        column, row, f"{100 * share:.0f}", ha="center", va="center",
                        fontsize=size, color=TEXT, in_layout=False,
                    )  # fmt: skip
            words = [_short(name, 16) for name in names]
            size = min(FONT, 150 / count)
            axes.set_xticks(range(count), words, rotation=90, fontsize=size)
            axes.set_yticks(range(count), words, fontsize=size)
        axes.tick_params(length=0 if small else 3, color=LINE, labelcolor=TEXT)
        axes.spines[:].set_color(LINE)
        axes.set_xlabel("predicted", color=FAINT)
        axes.set_ylabel("true", color=FAINT)
        return svg(figure, title or f"confusion matrix of {count} classes")


def reliability_chart(bins: Sequence[Mapping[str, Any]], *, title: str = "") -> Markup:
    """Draw accuracy by confidence, and below it the number of pixels by confidence.

    Args:
        bins: Bins, each with `lower`, `upper`, `pixels`, `confidence` and `accuracy`; the last two
            are None in a bin without pixels.
        title: See `line_chart`.
    """
    total = max(1, sum(one["pixels"] for one in bins))
    lower = [100 * one["lower"] for one in bins]
    widths = [100 * (one["upper"] - one["lower"]) for one in bins]
    with new_figure(_HEIGHT + 0.9) as figure:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        above.plot((0, 100), (0, 100), color=FAINT, linestyle=(0, (4, 3)), linewidth=1)
        accuracies = [100 * (one["accuracy"] or 0.0) for one in bins]
        above.bar(lower, accuracies, widths, align="edge", color=COLORS[0], alpha=0.45)
        points = [
            (100 * one["confidence"], 100 * one["accuracy"])
            for one in bins
            if one["confidence"] is not None and one["accuracy"] is not None
        ]
        if points:
            above.plot(*zip(*points, strict=True), "o", color=COLORS[0], ms=4, clip_on=False)
        below.bar(
            lower, [100 * one["pixels"] / total for one in bins], widths, align="edge",
            color=COLORS[1],
        )  # fmt: skip
        _frame(above, "", "right, %")
        _frame(below, "confidence, %", "pixels, %")
        above.set(xlim=(0, 100), ylim=(0, 100))
        return svg(figure, title or "accuracy of predictions by their confidence")


def normalised(matrix: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Convert counts to shares of their rows; NaN in a row without counts."""
    counts = np.asarray(matrix, np.float64)
    sums = counts.sum(1, keepdims=True)
    shares = np.full_like(counts, np.nan)
    np.divide(counts, sums, out=shares, where=sums > 0)
    return shares


def thinned(series: Series, most: int = MOST_POINTS) -> Series:
    """Reduce a line to `most` points: means of neighbours, with a band from least to greatest."""
    count = len(series.x)
    if count <= most:
        return series
    edges = np.linspace(0, count, most + 1).astype(int)
    y = _finite(series.y)
    low = y if series.low is None else _finite(series.low)
    high = y if series.high is None else _finite(series.high)
    parts = [slice(start, end) for start, end in pairwise(edges)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a part that is all NaN stays NaN
        return Series(
            series.name,
            [float(np.mean(np.asarray(series.x[part], np.float64))) for part in parts],
            [float(np.nanmean(y[part])) for part in parts],
            [float(np.nanmin(low[part])) for part in parts],
            [float(np.nanmax(high[part])) for part in parts],
        )


def _line(
    axes: Axes, series: Series, factor: float, style: Mapping[str, Any], *, log_y: bool
) -> Any:
    """Draw a line, and return its handle for the legend."""
    one = thinned(series)
    x, y = _finite(one.x), factor * _finite(one.y)
    if log_y:
        y = np.where(y > _LEAST, y, np.nan)
    if one.low is not None and one.high is not None:
        low = factor * _finite(one.low)
        high = factor * _finite(one.high)
        if log_y:
            low = np.where(low > _LEAST, low, np.nan)
        axes.fill_between(x, low, high, color=style["color"], alpha=0.22, linewidth=0)
    alone = np.count_nonzero(np.isfinite(y)) == 1  # a line of one point is invisible
    marker = "o" if series.markers or alone else ""
    (line,) = axes.plot(x, y, linewidth=1.5, marker=marker, markersize=3, **style)
    return line


def _mark(axes: Axes, mark: Mark, factor: float) -> None:
    axes.plot(
        [mark.x], [factor * mark.y], "o", color=TEXT, markersize=7, markerfacecolor="none",
        markeredgewidth=1.2, zorder=5,
    )  # fmt: skip
    left, right = axes.get_xlim()
    late = mark.x > (left + right) / 2
    axes.annotate(
        one_line(mark.words), (mark.x, factor * mark.y), textcoords="offset points",
        xytext=(-6 if late else 6, -14), ha="right" if late else "left", fontsize=_SMALL,
        color=TEXT,
    )  # fmt: skip


def _frame(axes: Axes, x_label: str, y_label: str) -> None:
    axes.set_xlabel(one_line(x_label), color=FAINT)
    axes.set_ylabel(one_line(y_label), color=FAINT)
    axes.grid(color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(color=LINE, labelcolor=TEXT, which="both")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LINE)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: _tick(value))
    if axes.get_yscale() == "log":
        low, high = axes.get_ylim()
        if high / low < 30:  # few powers of ten: label some numbers between them too
            axes.yaxis.set_minor_formatter(
                lambda value, _: _tick(value) if f"{value:e}"[0] in "25" else ""
            )
        else:
            axes.yaxis.set_minor_formatter(lambda *_: "")


def _tick(value: float) -> str:
    if abs(value) >= 10_000:
        return f"{value / 1000:g}k" if abs(value) < 1e6 else f"{value / 1e6:g}M"
    return f"{value:.6g}".replace("-", "−") if abs(value) >= 1e-3 or not value else f"{value:.3g}"


def _short(name: str, length: int = _NAME_LENGTH) -> str:
    name = one_line(name)
    return name if len(name) <= length else f"{name[: length - 1]}…"


def _finite(values: Sequence[float]) -> npt.NDArray[np.float64]:
    """Replace infinite and too large numbers, as of a diverged training, with NaN."""
    numbers = np.array(values, np.float64)
    numbers[~(np.abs(numbers) <= _LARGEST)] = np.nan
    return numbers
