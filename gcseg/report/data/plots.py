"""Plots of a split's statistics: class frequencies and image sizes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gcseg.data.statistics import ClassStatistics, Statistics
from gcseg.system.files import atomic_write
from gcseg.system.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

_ROWS = 50
"""Most classes below each other; more go into further columns."""

# Sizes in inches.
_ROW = 0.19
_BLOCK = 6.5
_SIZES = 4.0
_LOWEST = 2.4
_MARGIN = 1.1

_NAME_LENGTH = 28
"""Most characters of a class name; longer ones are cut, so that bars have room."""


def write_plots(statistics: Statistics, folder: Path, title: str) -> list[Path]:
    """Write statistics.png and statistics.svg.

    Args:
        statistics: Statistics to plot.
        folder: Folder of the files; created if it is missing.
        title: Title above the plots.

    Returns:
        Paths of the files.

    Raises:
        OutputError: The folder can't be written.
    """
    figure = _figure(statistics, title)
    paths = [folder / "statistics.png", folder / "statistics.svg"]
    with warnings.catch_warnings():
        # Letters that the font lacks show as boxes; the bars are still right.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        for path in paths:
            with atomic_write(path) as file:
                figure.savefig(file, format=path.suffix[1:], dpi=110)
    return paths


def _figure(statistics: Statistics, title: str) -> Figure:
    # Figure without pyplot: no display, no state shared with a caller's plots.
    from matplotlib.figure import Figure

    classes = statistics.classes
    blocks = [] if classes is None else _blocks(classes)
    widths = [_BLOCK] * len(blocks)
    if len(statistics.sizes) > 1 or not blocks:
        widths.append(_SIZES)
    rows = max(map(len, blocks), default=0)
    height = _MARGIN + max(_LOWEST, rows * _ROW)
    figure = Figure((sum(widths), height), layout="constrained", facecolor="white")
    images = f"{statistics.images} image{'s' if statistics.images > 1 else ''}"
    figure.suptitle(f"{printable(title)}: {images}", parse_math=False)
    parts = figure.subfigures(1, len(widths), width_ratios=widths, squeeze=False)[0]
    if classes is not None:
        for part, block in zip(parts, blocks, strict=False):
            _plot_classes(part, classes, block, rows)
    if len(widths) > len(blocks):
        _plot_sizes(parts[-1].subplots(), statistics)
    return figure


def _blocks(classes: ClassStatistics) -> list[list[int]]:
    """Return the classes, the most frequent first, in columns of about equal length."""
    order = sorted(range(len(classes.pixels)), key=lambda index: -classes.pixels[index])
    count = -(-len(order) // _ROWS)
    length = -(-len(order) // count)
    return [order[start : start + length] for start in range(0, len(order), length)]


def _plot_classes(
    part: SubFigure, classes: ClassStatistics, block: Sequence[int], rows: int
) -> None:
    """Plot bars of some classes: pixels on a logarithmic scale, and images to the right."""
    colors = [tuple(channel / 255 for channel in classes.label_space.colors[i]) for i in block]
    names = [classes.label_space.names[index] for index in block]
    pixels = [classes.pixel_frequency[index] for index in block]
    images = [classes.image_frequency[index] for index in block]
    # All blocks share a scale, so that their bars can be compared.
    lowest = min((p for p in classes.pixel_frequency if p), default=0.1)
    left, right = part.subplots(1, 2, sharey=True)
    for axes, values in ((left, pixels), (right, images)):
        axes.barh(range(len(block)), values, color=colors, edgecolor="0.3", linewidth=0.5)
        for place, value in enumerate(values):
            text = f"{100 * value:.3g} %" if value else "never"
            axes.text(
                1.02, place, text, transform=axes.get_yaxis_transform(), va="center", fontsize=7
            )
        axes.grid(axis="x", color="0.85", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    left.set_xlim(10 ** np.floor(np.log10(lowest) - 0.01), 1)
    left.set_xscale("log")
    left.set_xlabel("fraction of the labelled pixels", fontsize=8)
    right.set_xlim(0, 1)
    right.set_xlabel("fraction of the images", fontsize=8)
    left.set_yticks(range(len(block)), [_short(name) for name in names], parse_math=False)
    left.set_ylim(rows - 0.4, -0.6)  # the most frequent on top, bars of equal width in all blocks


def _plot_sizes(axes: Axes, statistics: Statistics) -> None:
    """Plot image widths and heights: a circle per size, its area by the number of images."""
    heights, widths = np.array(list(statistics.sizes)).T
    counts = np.array(list(statistics.sizes.values()))
    areas = 12 + 288 * counts / counts.max()
    axes.scatter(widths, heights, s=areas, alpha=0.5, color="tab:blue", edgecolor="0.2", lw=0.5)
    axes.set_title(f"{len(counts)} size{'s' if len(counts) > 1 else ''}", fontsize=9)
    axes.set_xlabel("width, pixels", fontsize=8)
    axes.set_ylabel("height, pixels", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(color="0.85", linewidth=0.6)
    axes.set_axisbelow(True)
    most = 1.08 * max(heights.max(), widths.max())
    axes.set(xlim=(0, most), ylim=(0, most), anchor="N", box_aspect=1)


def _short(name: str) -> str:
    name = printable(name)
    return name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 1]}…"
