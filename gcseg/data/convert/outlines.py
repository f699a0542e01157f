"""Outlines of the regions of an index mask, in an order in which they can be drawn over each other.

Tools without holes show a mask by drawing its regions from the largest to the smallest: a region in
the hole of another is smaller than that one with its hole filled, and so is drawn after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
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
        points = outer.reshape(-1, 2) if border == "centres" else _along_edges(region)
        points = points.astype(np.int32) + np.array([left, top], np.int32)
        last = np.array(inside.shape[::-1]) - (border == "centres")
        corners = _simplified(points, last, tolerance)
        if border == "edges" and len(corners) < 3:  # thinner than the tolerance
            corners = points
        yield int(filled.sum()), value, corners.astype(np.float64)


def _simplified(
    points: npt.NDArray[np.int32], last: npt.NDArray[np.int64], tolerance: float
) -> npt.NDArray[np.int32]:
    """Leave out corners of an outline, but none where it meets the edge of the picture.

    Elsewhere a neighbour may take what a region loses; at the edge it would belong to none.

    Args:
        points: Closed outline, N x 2, x and y in pixels.
        last: Largest x and y.
        tolerance: Largest distance from the outline in pixels.
    """
    sides = np.concatenate([points == 0, points == last], 1)
    runs = (sides & np.roll(sides, 1, 0) & np.roll(sides, -1, 0)).any(1)
    turns = (np.roll(points, 1, 0) == np.roll(points, -1, 0)).all(1)
    (kept,) = np.nonzero(sides.any(1) & (turns | ~runs))
    if not len(kept) or len(points) == 1:
        return cv2.approxPolyDP(points, tolerance, True).reshape(-1, 2).astype(np.int32)
    if len(kept) == 1:
        far = ((points - points[kept[0]]) ** 2).sum(1).argmax()
        kept = np.unique([*kept, far])
    points = np.roll(points, -kept[0], 0)
    ends = [*(kept - kept[0]).tolist(), len(points)]
    points = np.concatenate([points, points[:1]])
    parts = [
        cv2.approxPolyDP(points[start : end + 1], tolerance, False).reshape(-1, 2)[:-1]
        for start, end in pairwise(ends)
    ]
    return np.concatenate(parts).astype(np.int32)


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
