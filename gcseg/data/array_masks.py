"""Masks in .npy files: arrays of whole numbers, never pickles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gcseg.data.images import MOST_PIXELS, DamagedError, UnsuitableError

START = b"\x93NUMPY"
"""First bytes of an .npy file."""

_REMEDY = "store one whole number per pixel: np.save(path, mask.astype(np.uint8))"


def read_array(path: Path) -> npt.NDArray[Any]:
    """Read the array of a mask; a last or first dimension of one is left out.

    Returns:
        H x W whole numbers or truth values, or H x W x 3 uint8 colours.

    Raises:
        DamagedError: The file is cut off or no array.
        UnsuitableError: It holds objects, other numbers or another shape.
    """
    try:
        # Mapped, so that a header that promises more than the file holds allocates nothing.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError, OverflowError, SyntaxError) as error:
        if "Python objects" in str(error) or "pickle" in str(error).lower():
            raise UnsuitableError("holds Python objects, which are not read", _REMEDY) from None
        raise DamagedError("an .npy array that can't be read") from None
    if array.ndim == 3 and 1 in (array.shape[0], array.shape[2]):
        array = array.squeeze(2 if array.shape[2] == 1 else 0)
    is_colors = array.ndim == 3 and array.shape[2] == 3 and array.dtype == np.uint8
    if array.ndim != 2 and not is_colors:
        shape = " x ".join(map(str, array.shape))
        raise UnsuitableError(f"is an array of {shape}, and not height x width", _REMEDY)
    if array.dtype.kind not in "uib":
        raise UnsuitableError(f"holds {array.dtype} numbers, which are no class values", _REMEDY)
    if not 0 < array.shape[0] * array.shape[1] < MOST_PIXELS:
        raise UnsuitableError("is empty or too large", _REMEDY)
    return np.array(array)
