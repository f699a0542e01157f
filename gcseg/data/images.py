"""What the readers of several formats share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

UInt8Array = npt.NDArray[np.uint8]

ORIENTATION = 0x0112
"""EXIF's and TIFF's tag of how a picture was turned; 1 is upright."""

MOST_PIXELS = 1 << 30
"""Of a picture, as OpenCV has it by default."""


class DamagedError(Exception):
    """Why the pixels of a file can't be read in full, in a few words."""


class UnsuitableError(Exception):
    """Why a whole file is not read, in a few words.

    Args:
        reason: What it is, as in "image a.tif has ...".
        remedy: What to do about it.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason, remedy)
        self.reason = reason
        self.remedy = remedy


def upper_bits_of(image: UInt8Array) -> UInt8Array:
    """A picture of 16 bits per channel, of which the upper 8 were read, if anything is in these.

    Raises:
        UnsuitableError: They are all 0.
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
        image: As it is stored.
        orientation: EXIF's: 1 to 8; anything else counts as 1.
    """
    if orientation in (5, 6, 7, 8):  # stored by columns
        image = image.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)
