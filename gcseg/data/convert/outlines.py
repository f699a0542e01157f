"""Outlines of the regions of an index mask, in an order in which they can be drawn over each other.

Tools without holes show a mask by drawing its regions from the largest to the smallest: a region in
the hole of another is smaller than that one with its hole filled, and so is drawn after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from gcseg.data.images import UInt8Array
from gcseg.data.label_spaces import IGNORE_INDEX

Border = Literal["edges", "centres"]
"""Where an outline runs: along the edges of pixels (COCO), or through the centres (LabelMe)."""

_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))
"""Right, down, left, up, as x and y."""


def outlines(
    mask: UInt8Array, border: Border, tolerance: float
) -> list[tuple[int, npt.NDArray[np.float64]]]:
    """Return the outlines of a mask's regions, the largest first.

    A region is connected by the edges of pixels. Of ignored pixels only regions in the hole of
    another one are returned, as they would be filled otherwise.

    Args:
        mask: H x W class indices, 255 ignored.
        border: Where an outline runs.
        tolerance: Largest distance from the outline in pixels, with fewer corners the larger it is;
            0: drawn again, all pixels are as they were.

    Returns:
        Class index and N x 2 corners, x and y in pixels, of each region.
    """
    found: list[tuple[int, int, npt.NDArray[np.float64]]] = []
    holes = np.zeros(mask.shape, bool)
    for value in np.unique(mask).tolist():
        if value != IGNORE_INDEX:
            found += _of_class(mask == value, value, border, tolerance, holes)
    if holes[mask == IGNORE_INDEX].any():
        needed = np.zeros_like(holes)
        found += _of_class(mask == IGNORE_INDEX, IGNORE_INDEX, border, tolerance, needed, holes)
    found.sort(key=lambda one: -one[0])
    return [(value, points) for _, value, points in found]


def _of_class(
    inside: npt.NDArray[np.bool_],
    value: int,
    border: Border,
    tolerance: float,
    holes: npt.NDArray[np.bool_],
    only: npt.NDArray[np.bool_] | None = None,
) -> Iterator[tuple[int, int, npt.NDArray[np.float64]]]:
    """Yield filled area, class index and corners of each region of a class.

    Args:
        inside: Pixels of the class, H x W.
        value: Its index.
        border: See `outlines`.
        tolerance: See `outlines`.
        holes: Gets the pixels in holes of these regions, H x W.
        only: Pixels of which a region has to have some; None for all regions.
    """
    count, regions, sizes, _ = cv2.connectedComponentsWithStats(
        inside.astype(np.uint8), connectivity=4
    )
    for number in range(1, count):
        left, top, width, height, _ = sizes[number].tolist()
        box = np.s_[top : top + height, left : left + width]
        region = (regions[box] == number).astype(np.uint8)
        if only is not None and not only[box][region != 0].any():
            continue
        (outer,), _ = cv2.findContours(region, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        filled = cv2.drawContours(np.zeros_like(region), [outer], 0, 1, cv2.FILLED)
        holes[box] |= filled > region
        points = outer if border == "centres" else _along_edges(region)
        points = points.reshape(-1, 1, 2).astype(np.int32)
        points = cv2.approxPolyDP(points, tolerance, True)
        corners = np.asarray(points, np.float64).reshape(-1, 2) + np.array([left, top])
        yield int(filled.sum()), value, corners


def _along_edges(region: UInt8Array) -> npt.NDArray[np.int64]:
    """Return the corners of the edge around a region, clockwise, from its first pixel.

    The edge is followed with the region on its right. Where two of its pixels touch by their
    corners only, it turns to the right, so that it crosses nothing.

    Args:
        region: H x W of 0 and 1, connected by the edges of pixels.
    """
    height, width = region.shape
    padded = np.zeros((height + 2, width + 2), bool)
    padded[1:-1, 1:-1] = region != 0
    is_inside = padded.tolist()
    x = start = int(region[0].argmax())
    y = way = 0
    corners = []
    while True:
        dx, dy = _STEPS[way]
        x, y = x + dx, y + dy
        # Around a corner: rows y and y + 1, columns x and x + 1, as the region is padded by 1.
        ahead_right = is_inside[y + (dy > 0 or dx > 0)][x + (dx > 0 or dy < 0)]
        ahead_left = is_inside[y + (dy > 0 or dx < 0)][x + (dx > 0 or dy > 0)]
        turn = 1 if not ahead_right else -1 if ahead_left else 0
        if turn:
            corners.append((x, y))
            way = (way + turn) % 4
        if (x, y) == (start, 0) and way == 0:
            break
    return np.array(corners, np.int64)
