"""Reader of index masks that keeps their values exactly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from gcseg.data.images import DamagedError, UInt8Array, UnsuitableError
from gcseg.data.tiff import opened_tiff, tiff_samples

REMEDY = "store one 8-bit class value per pixel (grey or palette PNG)"

_SIGNED, _FLOAT = 2, 3  # as `Samples.kind`


def read_indices(path: Path, *, tiff: bool) -> UInt8Array:
    """Read the samples of a grey mask, or the indices of a palette mask, of 1 to 32 bits.

    Args:
        path: Path of the file.
        tiff: Whether it is a TIFF.

    Returns:
        Values of the mask, H x W uint8.

    Raises:
        DamagedError: The file can't be read in full, or is no image.
        UnsuitableError: The file is no index mask, or holds values that do not fit 8 bits.
    """
    # Pillow, because OpenCV turns the indices of a palette into colours.
    with _opened(path, tiff) as mask:
        if mask is None:
            raise UnsuitableError(f"holds {tiff_samples(path)}", REMEDY)
        if mask.format in ("JPEG", "MPO"):
            raise UnsuitableError("is a JPEG, which is not an index mask", REMEDY)
        if mask.mode in ("1", "L", "P"):
            stored = _stored_as(mask)  # before the pixels are read
            return _as_stored(np.array(mask, np.uint8), stored)
        if mask.mode.startswith("I"):
            return _narrowed(np.asarray(mask))
        raise UnsuitableError(f"has mode {mask.mode}, which is not an index mask", REMEDY)


@contextmanager
def _opened(path: Path, tiff: bool) -> Iterator[Image.Image | None]:
    if tiff:
        samples = tiff_samples(path)
        if samples.kind == _FLOAT:
            raise UnsuitableError(f"holds {samples}, which are no class values", REMEDY)
        if samples.kind == _SIGNED and samples.bits == 8:
            yield None  # Pillow reads them as unsigned
            return
        with opened_tiff(path) as mask:
            yield mask
        return
    try:
        with Image.open(path) as mask:
            yield mask
    except Image.DecompressionBombError:
        raise UnsuitableError(
            "is larger than Pillow reads",
            f"cut it and its image into parts of {Image.MAX_IMAGE_PIXELS} pixels or fewer",
        ) from None
    except (OSError, SyntaxError, ValueError) as error:
        raise DamagedError(str(error)) from None


def _stored_as(mask: Image.Image) -> str:
    """Return Pillow's name of the samples before the pixels are read: L;2 for 2-bit grey."""
    tiles = getattr(mask, "tile", [])
    arguments = tiles[0].args if tiles else ""
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _as_stored(values: UInt8Array, stored: str) -> UInt8Array:
    """Undo Pillow's spreading of few-bit grey over 0 to 255 and its inversion of white-is-zero.

    Args:
        values: Values as read by Pillow.
        stored: Name of the samples, from `_stored_as`.
    """
    mode, _, details = stored.partition(";")
    if mode == "1":  # read as 0 and 1
        return 1 - values if "I" in details else values
    if mode != "L":
        return values
    if "I" in details:
        values = 255 - values
    for bits in (2, 4):
        if str(bits) in details:
            values //= 255 // (2**bits - 1)
    return values


def _narrowed(values: npt.NDArray[Any]) -> UInt8Array:
    """Return samples of more than 8 bits as 8 bits, if all of them fit.

    Raises:
        UnsuitableError: Some samples do not fit.
    """
    for value in (values.min(), values.max()):
        if not 0 <= value <= 255:
            raise UnsuitableError(
                f"holds value {value}, which no class has: values are 0 to 255", REMEDY
            )
    return values.astype(np.uint8)
