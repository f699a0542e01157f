"""Images, labels and predictions side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from gcseg.data.label_spaces import IGNORE_INDEX, LabelSpace
from gcseg.data.reading import UInt8Array
from gcseg.visualization.lettering import LINE, caption, fitted, font, text_width

_GAP = 4
_MARK = 20
"""Pixels of the legend before a class's name."""
_COLUMN = 160
"""Pixels of the legend for a class, or more for longer names."""


def overlay(
    image: UInt8Array, label: UInt8Array, space: LabelSpace, opacity: float = 0.7
) -> UInt8Array:
    """Lay the classes' colours over an image; ignored pixels stay unchanged.

    Args:
        image: The image, H x W x 3 RGB.
        label: Class indices, H x W.
        space: Classes with their colours.
        opacity: Weight of the colours, 0 to 1.

    Returns:
        H x W x 3 RGB.
    """
    # OpenCV's functions let other threads run meanwhile, which indexing with NumPy does not.
    label = np.ascontiguousarray(label)
    colors = cv2.LUT(cv2.merge((label, label, label)), space.palette[np.newaxis])
    mixed = cv2.addWeighted(image, 1 - opacity, colors, opacity, 0)
    ignored = cv2.inRange(label, IGNORE_INDEX, IGNORE_INDEX)
    return np.asarray(cv2.copyTo(image, ignored, mixed), np.uint8)


def panel(
    image: UInt8Array, label: UInt8Array | None, prediction: UInt8Array, space: LabelSpace
) -> UInt8Array:
    """Draw image, truth (if there is one) and prediction in a row.

    Args:
        image: The image, H x W x 3 RGB.
        label: True class indices, H x W; None if there are none.
        prediction: Predicted class indices, H x W.
        space: Classes with their colours.

    Returns:
        The row, H x (2 or 3 image widths and gaps) x 3 RGB.
    """
    parts = [image, *(overlay(image, x, space) for x in (label, prediction) if x is not None)]
    gap = np.full((image.shape[0], _GAP, 3), 255, np.uint8)
    return np.hstack([x for part in parts for x in (gap, part)][1:])


def contact_sheet(
    panels: Sequence[UInt8Array],
    space: LabelSpace,
    width: int = 1280,
    names: Sequence[str] | None = None,
) -> Image.Image:
    """Stack panels at one width, with a legend of the classes.

    Args:
        panels: At least one panel, H x W x 3 RGB, of any size.
        space: Classes with names and colours for the legend.
        width: Width of the sheet, in pixels.
        names: Name of each panel, written above it; None for no names.
    """
    rows: list[npt.NDArray[Any]] = []
    for index, row in enumerate(panels):
        height = max(1, round(row.shape[0] * width / row.shape[1]))
        if names is not None:
            rows.append(caption(names[index], width))
        rows += [cv2.resize(row, (width, height), interpolation=cv2.INTER_AREA),
                 np.full((_GAP, width, 3), 255, np.uint8)]  # fmt: skip
    return Image.fromarray(np.vstack([*rows, _legend(space, width)]))


def _legend(space: LabelSpace, width: int) -> UInt8Array:
    widest = max(map(text_width, space.names), default=0) + _MARK
    column = min(max(widest + _GAP, _COLUMN), max(width // 2, _COLUMN))
    per_row = max(1, width // column)
    lines = -(-space.num_classes // per_row)
    canvas = Image.new("RGB", (width, lines * LINE + _GAP), "white")
    draw = ImageDraw.Draw(canvas)
    for index, (name, color) in enumerate(zip(space.names, space.colors, strict=True)):
        x, y = index % per_row * column, index // per_row * LINE + _GAP
        draw.rectangle((x + 2, y, x + 14, y + 12), fill=color, outline="black")
        words = fitted(name, column - _MARK - _GAP)
        draw.text((x + _MARK, y), words, fill="black", font=font())
    return np.asarray(canvas, np.uint8)
