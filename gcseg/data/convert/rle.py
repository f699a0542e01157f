"""COCO's and CVAT's run lengths: numbers of pixels outside and inside in turn, outside first.

COCO counts down the columns and CVAT along the rows. COCO also has a compressed form, in which
each number is some characters of 6 bits (cocoapi, common/maskApi.c, rleToString). Masks are encoded
by pycocotools. They are decoded here, because pycocotools returns memory that was never written
where the numbers of a damaged file add up to too little.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gcseg.data.images import UInt8Array
from gcseg.errors import ConfigError, DataError

_REMEDY = "export the annotations again"


def pycocotools_mask() -> Any:
    """Return the module `pycocotools.mask`.

    Raises:
        ConfigError: pycocotools is not installed.
    """
    try:
        from pycocotools import mask
    except ImportError:
        raise ConfigError(
            "pycocotools is not installed, which draws polygons as COCO, CVAT and Label Studio do",
            "pip install -e '.[convert]'",
        ) from None
    return mask


def decoded(counts: object, height: int, width: int, where: str, *, by_rows: bool) -> UInt8Array:
    """Return the mask that run lengths stand for.

    Args:
        counts: List of run lengths, or their compressed text.
        height: Rows of the mask.
        width: Columns of the mask.
        where: Place of the shape, for messages.
        by_rows: Whether pixels are counted along the rows; along the columns otherwise.

    Returns:
        height x width uint8 of 0 and 1.

    Raises:
        DataError: The counts are no run lengths, or of a mask of another size.
    """
    runs = unpacked(counts, where) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(type(run) is int and run >= 0 for run in runs):
        raise DataError(f"{where} has run lengths that are no whole numbers from 0", _REMEDY)
    if (total := sum(runs)) != height * width:
        raise DataError(
            f"{where} has run lengths of {total:,} pixels, and not of {height}x{width} "
            "(height x width)",
            _REMEDY,
        )
    values = (np.arange(len(runs)) % 2).astype(np.uint8)
    pixels = np.repeat(values, np.asarray(runs, np.int64))
    if by_rows:
        return pixels.reshape(height, width)
    return np.ascontiguousarray(pixels.reshape(width, height).T)


def unpacked(text: str, where: str) -> list[int]:
    """Return the run lengths of COCO's compressed text.

    Raises:
        DataError: The text is no such numbers.
    """
    runs: list[int] = []
    value = shift = 0
    for code in text.encode("ascii", "replace"):
        bits = code - 48
        if not 0 <= bits < 64 or shift > 35:
            raise DataError(f"{where} has compressed run lengths that can't be read", _REMEDY)
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:  # more characters of the number follow
            continue
        if bits & 16:  # negative
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    if shift:
        raise DataError(f"{where} has compressed run lengths that are cut off", _REMEDY)
    return runs


def encoded(mask: UInt8Array) -> dict[str, Any]:
    """Return COCO's compressed run lengths of a mask, H x W of 0 and 1: `size` and `counts`."""
    found = pycocotools_mask().encode(np.asfortranarray(mask, np.uint8))
    return {"size": list(map(int, found["size"])), "counts": found["counts"].decode("ascii")}


def runs_by_rows(mask: UInt8Array) -> Sequence[int]:
    """Return the run lengths of a mask along its rows, outside first, as CVAT has them."""
    flat = mask.ravel() != 0
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs: list[int] = np.diff([0, *edges.tolist(), flat.size]).tolist()
    return [0, *runs] if flat.size and flat[0] else runs
