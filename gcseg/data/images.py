"""Exceptions and helpers shared by the readers of several formats."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

UInt8Array = npt.NDArray[np.uint8]
Picture = npt.NDArray[Any]
"""A picture in memory, H x W x C: bytes of 0..255, or float32 of 0..1; see `PictureFormat`."""

ORIENTATION = 0x0112
"""EXIF and TIFF tag of a picture's orientation; 1 is upright."""

MOST_PIXELS = 1 << 30
"""Largest number of pixels of a picture, the default of OpenCV."""


@dataclass(frozen=True)
class PictureFormat:
    """Form in which the pictures of a dataset are read.

    Args:
        channels: Number of channels, C.
        scale: Raw values that become 0 and 1; None for bytes, which stay as they are.
        nodata: Raw value of pixels without data, which are ignored like those that are NaN or
            infinite; NaN for these alone; None if a value that is no number is an error.
    """

    channels: int = 3
    scale: tuple[float, float] | None = None
    nodata: float | None = None

    @property
    def is_rgb(self) -> bool:
        """Return whether pictures are bytes of red, green and blue."""
        return self.channels == 3 and self.scale is None

    @property
    def is_usual(self) -> bool:
        """Return whether all pixels of such pictures are data too, as in all public datasets."""
        return self.is_rgb and self.nodata is None

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values in memory: uint8 without a scale, else float32."""
        return np.dtype(np.uint8 if self.scale is None else np.float32)

    @property
    def full(self) -> float:
        """Value in memory that counts as 1: 255 for bytes, 1 for floats."""
        return 255 if self.scale is None else 1

    def __str__(self) -> str:
        """Describe the form for messages: 4 channels, raw values 0 to 10000 as 0 to 1."""
        parts = [f"{self.channels} channel{'s' if self.channels > 1 else ''}"]
        if self.scale is None:
            parts.append("8 bits each")
        else:
            least, most = self.scale
            parts.append(f"raw values {least:g} to {most:g} as 0 to 1")
        if self.nodata is not None:
            values = "NaN" if math.isnan(self.nodata) else f"{self.nodata:g} or NaN"
            parts.append(f"pixels with {values} ignored")
        return ", ".join(parts)


RGB = PictureFormat()
"""Pictures of 8 bits in red, green and blue, as all public datasets have them."""


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
        "set dataset.scale to the largest value, or store 8 bits",
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


def displayed(image: Picture) -> UInt8Array:
    """Return a picture as it can be shown.

    Args:
        image: Picture, H x W x C. Bytes are shown as they are. Of floats, each channel is stretched
            from its 2nd to its 98th percentile, so that all satellite pictures are not black.

    Returns:
        H x W x 3 uint8: the first three channels, or the first as grey if there are one or two.
    """
    if image.shape[2] != 3:
        image = image[..., :3] if image.shape[2] > 3 else np.repeat(image[..., :1], 3, axis=2)
    if image.dtype == np.uint8:
        return image
    least, most = np.percentile(image, (2, 98), axis=(0, 1))
    levels = (image - least) * (255 / np.maximum(most - least, 1e-12))
    return np.asarray(levels.round().clip(0, 255), np.uint8)
