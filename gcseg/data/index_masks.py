"""Readers of masks that keep their values or colours exactly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from gcseg.data import array_masks
from gcseg.data.color_masks import colors_of
from gcseg.data.images import DamagedError, UInt8Array, UnsuitableError
from gcseg.data.tiff import opened_tiff, tiff_samples

REMEDY = "store one 8-bit class value per pixel (grey or palette PNG)"

_GIVE_COLORS = f"{REMEDY}, or give each class its color in the class list"
_NO_COLORS = "store masks as 8-bit RGB or palette PNG"

_SIGNED, _FLOAT = 2, 3  # as `Samples.kind`


def read_indices(path: Path, *, tiff: bool) -> UInt8Array:
    """Read the samples of a grey mask, or the indices of a palette mask, of 1 to 32 bits.

    Of a mask with three equal channels, one is taken.

    Args:
        path: Path of the file.
        tiff: Whether it is a TIFF.

    Returns:
        Values of the mask, H x W uint8.

    Raises:
        DamagedError: The file can't be read in full, or is no image.
        UnsuitableError: The file is no index mask, or holds values that do not fit 8 bits.
    """
    if path.suffix.lower() == ".npy":
        array = _array(path)
        if array.ndim == 2:
            return _narrowed(array)
        return _one_of(np.asarray(array, np.uint8), "three channels")
    # Pillow, because OpenCV turns the indices of a palette into colours.
    with _opened(path, tiff) as mask:
        if mask is None:
            raise UnsuitableError(f"holds {tiff_samples(path)}", REMEDY)
        if _is_jpeg(mask):
            raise UnsuitableError("is a JPEG, which is not an index mask", REMEDY)
        if mask.mode in ("1", "L", "P"):
            stored = _stored_as(mask)  # before the pixels are read
            return _as_stored(np.array(mask, np.uint8), stored)
        if mask.mode.startswith("I"):
            return _narrowed(np.asarray(mask))
        if mask.mode in ("RGB", "RGBA"):
            return _one_of(np.asarray(mask)[..., :3], f"mode {mask.mode}")
        raise UnsuitableError(f"has mode {mask.mode}, which is not an index mask", REMEDY)


def holds_colors(path: Path, *, tiff: bool) -> bool:
    """Return whether a mask has three channels, by its header; false where it can't be read."""
    try:
        if path.suffix.lower() == ".npy":
            return _array(path).ndim == 3
        with _opened(path, tiff) as mask:
            return mask is not None and mask.mode in ("RGB", "RGBA") and not _is_jpeg(mask)
    except (DamagedError, UnsuitableError):
        return False


def read_colors(path: Path, *, tiff: bool) -> UInt8Array:
    """Read a mask's colours; those of a palette, and grey as three equal channels.

    Args:
        path: Path of the file.
        tiff: Whether it is a TIFF.

    Returns:
        RGB colours, H x W x 3 uint8; transparency is left out.

    Raises:
        DamagedError: The file can't be read in full, or is no image.
        UnsuitableError: The file is a JPEG, or holds no 8-bit colours.
    """
    if path.suffix.lower() == ".npy":
        array = _array(path)
        return np.asarray(array if array.ndim == 3 else _grey(_narrowed(array)), np.uint8)
    with _opened(path, tiff) as mask:
        if mask is None:
            raise UnsuitableError(f"holds {tiff_samples(path)}", _NO_COLORS)
        if _is_jpeg(mask):
            raise UnsuitableError("is a JPEG, which changes the colours of a mask", _NO_COLORS)
        if mask.mode not in ("1", "L", "P", "RGB", "RGBA"):
            raise UnsuitableError(f"has mode {mask.mode}, which is no mask in colours", _NO_COLORS)
        if mask.mode == "P":
            return np.asarray(mask.convert("RGBA"), np.uint8)[..., :3]
        if mask.mode in ("1", "L"):
            return _grey(np.asarray(mask.convert("L")))
        if not tiff and (fast := cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)) is not None:
            return np.asarray(fast, np.uint8)  # in half of Pillow's time
        return np.ascontiguousarray(np.asarray(mask, np.uint8)[..., :3])


def _grey(values: UInt8Array) -> UInt8Array:
    return np.repeat(values[..., None], 3, axis=2)


def _is_jpeg(mask: Image.Image) -> bool:
    return mask.format in ("JPEG", "MPO")


def _array(path: Path) -> npt.NDArray[Any]:
    with path.open("rb") as file:
        if file.read(len(array_masks.START)) != array_masks.START:
            raise DamagedError("no .npy array")
    return array_masks.read_array(path)


def _one_of(colors: UInt8Array, what: str) -> UInt8Array:
    """Return one of three equal channels.

    Raises:
        UnsuitableError: They differ.
    """
    if (colors[..., :1] != colors).any():
        raise UnsuitableError(
            f"has {what}, which is not an index mask; its commonest colours are "
            f"{colors_of(colors)}",
            _GIVE_COLORS,
        )
    return np.ascontiguousarray(colors[..., 0])


@contextmanager
def _opened(path: Path, tiff: bool) -> Iterator[Image.Image | None]:
    if tiff:
        samples = tiff_samples(path)
        if samples.kind == _FLOAT:
            raise UnsuitableError(f"holds {samples}, which are not class values", REMEDY)
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
