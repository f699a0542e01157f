"""Images and label masks from files, refused with the file's name when something is wrong."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from gcseg.data.label_spaces import UNKNOWN, LabelSpace
from gcseg.errors import DataError

UInt8Array = npt.NDArray[np.uint8]

_JPEG_START = b"\xff\xd8"
_JPEG_END = b"\xff\xd9"


def read_image(path: Path) -> UInt8Array:
    """Read an image file as RGB.

    Returns:
        H x W x 3 uint8; grey images become three equal channels.

    Raises:
        DataError: The file is missing, unreadable or cut off.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if image is None or _is_cut_off(path):
        if not path.is_file():
            raise DataError(f"image {path} does not exist", "check dataset.root")
        raise DataError(
            f"image {path} is truncated or not an image ({path.stat().st_size} bytes)",
            "fetch this file again",
        )
    return np.asarray(image, np.uint8)


def _is_cut_off(path: Path) -> bool:
    """Whether a JPEG lacks its end marker: OpenCV fills the missing part with grey and goes on."""
    with path.open("rb") as file:
        if file.read(len(_JPEG_START)) != _JPEG_START:
            return False
        size = file.seek(0, 2)
        file.seek(max(0, size - 4096))
        if _JPEG_END in file.read():
            return False
    try:  # a phone may have put a film behind the picture
        with Image.open(path) as image:
            image.load()
    except OSError:
        return True
    return False


def read_label(path: Path, space: LabelSpace) -> UInt8Array:
    """Read an index mask (8 bits, grey or palette PNG) and map its values to class indices.

    Returns:
        H x W uint8: class indices, 255 where ignored.

    Raises:
        DataError: The file is missing, unreadable, not an index mask, or holds a value that the
            label space does not know.
    """
    try:
        # Pillow, because OpenCV turns the indices of a palette PNG into colours.
        with Image.open(path) as mask:
            if mask.mode not in ("L", "P"):
                raise DataError(
                    f"label {path} has mode {mask.mode}, which is not an index mask",
                    "store one 8-bit class value per pixel (grey or palette PNG)",
                )
            raw = np.asarray(mask, np.uint8)
    except FileNotFoundError:
        raise DataError(f"label {path} does not exist", "check dataset.root") from None
    except (OSError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DataError(
            f"label {path} is truncated or not an image ({error})", "fetch this file again"
        ) from None
    label = np.asarray(cv2.LUT(raw, space.lookup), np.uint8)
    if (label == UNKNOWN).any():
        unknown = np.unique(raw[label == UNKNOWN]).tolist()
        raise DataError(
            f"label {path} holds value {', '.join(map(str, unknown))}, which is not in the label "
            f"space of {space.num_classes} classes",
            f"use {_ranges(sorted(space.values))}, or {_ranges([*space.ignored, 255])} for ignored",
        )
    return label


def _ranges(values: list[int]) -> str:
    """Sorted values as text, runs shortened: 0-10, 255."""
    runs: list[list[int]] = []
    for value in sorted(set(values)):
        if runs and value == runs[-1][-1] + 1:
            runs[-1][1:] = [value]
        else:
            runs.append([value])
    return ", ".join("-".join(map(str, run)) for run in runs)
