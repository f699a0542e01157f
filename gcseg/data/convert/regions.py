"""Pixels of polygons, boxes, ellipses and bitmaps, by the rules of the tools that drew them.

Three rules are in use. They differ by the pixels on the border:

- `coco`: pycocotools. A pixel is inside if the outline surrounds its centre, within a fifth of a
  pixel. COCO's own masks, CVAT's exports and Label Studio's are made so.
- `pillow`: `ImageDraw` with fill and outline, so that pixels that the outline touches are inside.
  LabelMe's `shape_to_mask` does so.
- `opencv`: `cv2.fillPoly` of corners that are cut off to whole pixels, with the border inside.
  ultralytics and Supervisely's SDK do so.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from gcseg.data.convert.rle import pycocotools_mask
from gcseg.data.images import UInt8Array
from gcseg.errors import DataError

Points = npt.NDArray[np.float64]
"""N x 2 corners, x and y in pixels."""

Draw = Callable[[int, int], UInt8Array]
Bounds = tuple[float, float, float, float]

LARGEST_COORDINATE = 100_000
"""Largest coordinate in pixels. pycocotools crashes at 10^8, as its memory grows with them."""
LONGEST_OUTLINE = 2_000_000
"""Longest outline in pixels; pycocotools takes 100 bytes for each."""
_CORNERS = 180
"""Corners of the polygon that stands for an ellipse."""


def points_of(numbers: object, where: str) -> Points:
    """Return corners from a list of pairs, or of numbers in turn.

    Raises:
        DataError: They are no finite numbers, not in pairs, or too large.
    """
    remedy = "export the annotations again, or correct the shape"
    try:
        points = np.asarray(numbers, np.float64)
        points = points.reshape(-1, 2) if points.ndim < 2 else points
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"{where} has points that are no pairs of numbers", remedy) from None
    if points.ndim != 2 or points.shape[1] != 2:
        raise DataError(f"{where} has points that are no pairs of numbers", remedy)
    if not np.isfinite(points).all():
        raise DataError(f"{where} has a point that is no finite number", remedy)
    if points.size and np.abs(points).max() > LARGEST_COORDINATE:
        x, y = points[np.abs(points).max(1).argmax()]
        raise DataError(f"{where} has the point ({x:.6g}, {y:.6g}), far outside", remedy)
    if np.abs(np.diff(points, axis=0)).max(initial=0, axis=1).sum() > LONGEST_OUTLINE:
        raise DataError(f"{where} has an outline of over {LONGEST_OUTLINE:,} pixels", remedy)
    return points


def bounds_of(rings: Sequence[Points]) -> Bounds:
    """Return left, top, right and bottom edge of one or more rings."""
    points = np.concatenate(rings)
    return (*points.min(0).tolist(), *points.max(0).tolist())


def coco_polygons(rings: Sequence[Points]) -> Draw:
    """Return what draws the union of polygons as pycocotools does.

    Source: cocoapi, common/maskApi.c, rleFrPoly.
    """

    def draw(height: int, width: int) -> UInt8Array:
        mask = pycocotools_mask()
        flat = [ring.ravel().tolist() for ring in rings]
        drawn = mask.decode(mask.merge(mask.frPyObjects(flat, height, width)))
        return np.asarray(drawn, np.uint8)

    return draw


def pillow_polygon(ring: Points) -> Draw:
    """Return what draws a polygon as LabelMe does, with its outline.

    Source: labelme, utils/shape.py, shape_to_mask.
    """
    corners = [(x, y) for x, y in ring.tolist()]
    return _pillow(lambda draw: draw.polygon(corners, fill=1, outline=1))


def pillow_rectangle(left: float, top: float, right: float, bottom: float) -> Draw:
    """Return what draws a rectangle as LabelMe does, with its outline."""
    return _pillow(lambda draw: draw.rectangle((left, top, right, bottom), fill=1, outline=1))


def pillow_circle(x: float, y: float, radius: float) -> Draw:
    """Return what draws a circle as LabelMe does, with its outline."""
    box = (x - radius, y - radius, x + radius, y + radius)
    return _pillow(lambda draw: draw.ellipse(box, fill=1, outline=1))


def _pillow(action: Callable[[ImageDraw.ImageDraw], None]) -> Draw:
    def draw(height: int, width: int) -> UInt8Array:
        image = Image.new("L", (width, height))
        action(ImageDraw.Draw(image))
        return np.array(image, np.uint8)

    return draw


def opencv_polygon(exterior: Points, interior: Sequence[Points] = ()) -> Draw:
    """Return what draws a polygon with holes as ultralytics and Supervisely do.

    The borders of the exterior are inside, and those of the holes are outside.

    Source: supervisely, geometry/polygon.py, _draw_impl; ultralytics, data/utils.py, polygon2mask.
    """

    def draw(height: int, width: int) -> UInt8Array:
        mask = np.zeros((height, width), np.uint8)
        cv2.fillPoly(mask, [exterior.astype(np.int32)], [1])
        for hole in interior:
            cv2.fillPoly(mask, [hole.astype(np.int32)], [0])
        return mask

    return draw


def box_corners(
    left: float, top: float, right: float, bottom: float, degrees: float = 0, *, pivot: str
) -> Points:
    """Return the four corners of a box, turned clockwise.

    Args:
        left: Left edge, before it is turned.
        top: Top edge.
        right: Right edge.
        bottom: Bottom edge.
        degrees: Angle.
        pivot: The fixed point: "centre" (CVAT) or "corner", the left upper one (Label Studio).
    """
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float64)
    fixed = corners.mean(0) if pivot == "centre" else corners[0]
    return _turned(corners, fixed, degrees)


def ellipse_corners(x: float, y: float, radius_x: float, radius_y: float, degrees: float) -> Points:
    """Return a polygon of 180 corners for an ellipse that is turned clockwise around its centre."""
    angle = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
    outline = np.stack([x + radius_x * np.cos(angle), y + radius_y * np.sin(angle)], 1)
    return _turned(outline, np.array([x, y]), degrees)


def _turned(points: Points, pivot: Points, degrees: float) -> Points:
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    turned: Points = (points - pivot) @ np.array([[cosine, sine], [-sine, cosine]]) + pivot
    return turned


def bitmap(pixels: UInt8Array, left: int, top: int) -> tuple[Draw, Bounds]:
    """Return what draws a bitmap of 0 and others, h x w, at a place of the picture; its bounds."""
    rows, columns = pixels.shape

    def draw(height: int, width: int) -> UInt8Array:
        mask = np.zeros((height, width), np.uint8)
        y, x = max(top, 0), max(left, 0)
        part = pixels[y - top : max(height - top, 0), x - left : max(width - left, 0)]
        mask[y : y + part.shape[0], x : x + part.shape[1]] = part != 0
        return mask

    return draw, (left, top, left + columns, top + rows)


def bitmap_of_png(text: object, where: str, *, most: int, packed: bool = False) -> UInt8Array:
    """Decode a bitmap that an annotation file holds as the text of a PNG.

    Args:
        text: The PNG in base64.
        where: Place of the shape, for messages.
        most: Largest number of its pixels.
        packed: Whether the PNG is compressed by zlib once more, as Supervisely's.

    Returns:
        h x w uint8, 0 outside: of four channels the last (opacity), of others whether any is
        not 0.

    Raises:
        DataError: It is no such bitmap, or larger.
    """
    remedy = "export the annotations again"
    try:
        content = base64.b64decode(str(text), validate=True)
        if packed:
            unpacking = zlib.decompressobj()
            content = unpacking.decompress(content, 4 * most + 4096)
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            if image.width * image.height > most:
                raise DataError(
                    f"{where} has a bitmap of {image.height}x{image.width}, larger than its "
                    "picture (height x width)",
                    remedy,
                )
            if image.mode == "P":
                image = image.convert("RGBA" if "transparency" in image.info else "L")
            pixels: Any = np.asarray(image)
    except (binascii.Error, zlib.error, OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{where} has a bitmap that can't be read ({error})", remedy) from None
    if pixels.ndim == 3:
        pixels = pixels[..., -1] if pixels.shape[2] in (2, 4) else pixels.any(2)
    return np.asarray(pixels != 0, np.uint8)
