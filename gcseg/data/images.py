"""Exceptions and helpers shared by the readers of several formats."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

UInt8Array = npt.NDArray[np.uint8]

ORIENTATION = 0x0112
"""EXIF and TIFF tag of a picture's orientation; 1 is upright."""

MOST_PIXELS = 1 << 30
"""Largest number of pixels of a picture, the default of OpenCV."""


class DamagedError(Exception):
    """An error that says, in a few words, why the pixels of a file can't be read in full."""


class UnsuitableError(Exception):
    """An error that says, in a few words, why an undamaged file is not read.

    Args:
        reason: Reason as a predicate, as in "image a.tif has ...".
        remedy: Advice on what to do.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason, remedy)
        self.reason = reason
        self.remedy = remedy


def upper_bits_of(image: UInt8Array) -> UInt8Array:
    """Return the upper 8 bits of a picture with 16 bits per channel, unless all are 0.

    Raises:
        UnsuitableError: All upper bits are 0.
    """
    if image.any():
        return image
    raise UnsuitableError(
        "has 16 bits per channel, of which the upper 8 are all 0: it would be black",
        "scale its values to 0 to 255 as suits them, and store 8 bits",
    )


def oriented(image: UInt8Array, orientation: int) -> UInt8Array:
    """Turn an image, H x W x C, upright.

    Args:
        image: Image as stored in the file.
        orientation: EXIF orientation, 1 to 8; anything else counts as 1.
    """
    if orientation in (5, 6, 7, 8):  # stored by columns
        image = image.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)
