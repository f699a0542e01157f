"""The values of index masks, exactly as their files hold them."""

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
    """Read the samples of a grey mask, or the indices of a palette's, of 1 to 32 bits.

    Args:
        path: The file.
        tiff: Whether it is a TIFF.

    Returns:
        H x W uint8.

    Raises:
        DamagedError: It can't be read in full, or is no image.
        UnsuitableError: It is no index mask, or holds values that do not fit 8 bits.
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
            yield None  # Pillow takes them for unsigned ones
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
    """How Pillow names the samples in a file that it has not read yet: L;2 for grey of 2 bits."""
    tiles = getattr(mask, "tile", [])
    arguments = tiles[0].args if tiles else ""
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _as_stored(values: UInt8Array, stored: str) -> UInt8Array:
    """Undo that Pillow spreads grey samples of few bits over 0 to 255, and turns white to black.

    Args:
        values: As Pillow gives them.
        stored: As `_stored_as` says.
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
    """Samples of more than 8 bits, where all of them fit into 8.

    Raises:
        UnsuitableError: Some do not.
    """
    for value in (values.min(), values.max()):
        if not 0 <= value <= 255:
            raise UnsuitableError(
                f"holds value {value}, which no class has: values are 0 to 255", REMEDY
            )
    return values.astype(np.uint8)
