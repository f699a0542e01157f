"""Images and label masks from files, refused with the file's name when something is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from gcseg.data.faults import FileError
from gcseg.data.label_spaces import UNKNOWN, LabelSpace

UInt8Array = npt.NDArray[np.uint8]

_JPEG_START = b"\xff\xd8"
_JPEG_END = b"\xff\xd9"
_EXACT_COUNT = 1 << 24  # the histogram, ten times as fast as NumPy's, counts in float32
_PNG_START = b"\x89PNG\r\n\x1a\n"


def read_image(path: Path) -> UInt8Array:
    """Read an image file as RGB.

    Returns:
        H x W x 3 uint8; grey images become three equal channels.

    Raises:
        FileError: The file is missing, unreadable or cut off.
    """
    try:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    except cv2.error:
        raise FileError(
            f"image {path} is too large for OpenCV",
            "cut it into parts of less than 2^30 pixels",
            kind="unreadable image",
            files=[path],
        ) from None
    if image is None or _is_cut_off(path):
        if not path.is_file():
            raise FileError(
                f"image {path} does not exist",
                "check dataset.root",
                kind="missing image",
                files=[path],
            )
        raise FileError(
            f"image {path} is truncated or not an image ({path.stat().st_size} bytes)",
            "fetch this file again",
            kind="unreadable image",
            files=[path],
        )
    return np.asarray(image, np.uint8)


def _is_cut_off(path: Path) -> bool:
    """Whether a JPEG or PNG lacks its end, which OpenCV or Pillow may fill in without a word."""
    with path.open("rb") as file:
        start = file.read(len(_PNG_START))
        if start == _PNG_START:
            return not _png_ends(file)
        if not start.startswith(_JPEG_START):
            return False
        size = file.seek(0, 2)
        file.seek(max(0, size - 4096))
        if _JPEG_END in file.read():
            return False
    try:  # a phone may have put a film behind the picture
        with Image.open(path) as image:
            image.load()
    except (OSError, Image.DecompressionBombError):
        return True
    return False


def _png_ends(file: BinaryIO) -> bool:
    """Whether a PNG has its last chunk, IEND; something else may follow it."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 12))
    if file.read(12)[4:8] == b"IEND":
        return True
    file.seek(len(_PNG_START))
    while len(head := file.read(8)) == 8:  # length and type; the data and a checksum follow
        if head[4:] == b"IEND":
            return len(file.read(4)) == 4
        file.seek(int.from_bytes(head[:4], "big") + 4, 1)
    return False


def read_label(path: Path, space: LabelSpace) -> UInt8Array:
    """Read an index mask (8 bits, grey or palette PNG) and map its values to class indices.

    Returns:
        H x W uint8: class indices, 255 where ignored.

    Raises:
        FileError: The file is missing, unreadable, cut off, not an index mask, or holds a value
            that the label space does not know.
    """
    try:
        # Pillow, because OpenCV turns the indices of a palette PNG into colours.
        with Image.open(path) as mask:
            if mask.mode not in ("L", "P") or mask.format == "JPEG":
                what = "is a JPEG" if mask.format == "JPEG" else f"has mode {mask.mode}"
                raise FileError(
                    f"label {path} {what}, which is not an index mask",
                    "store one 8-bit class value per pixel (grey or palette PNG)",
                    kind="not an index mask",
                    files=[path],
                )
            raw = np.asarray(mask, np.uint8)
        if _is_cut_off(path):
            raise OSError("its end is missing")
    except FileNotFoundError:
        raise FileError(
            f"label {path} does not exist",
            "check dataset.root",
            kind="missing label",
            files=[path],
        ) from None
    except Image.DecompressionBombError:
        raise FileError(
            f"label {path} is larger than Pillow reads",
            f"cut it and its image into parts of {Image.MAX_IMAGE_PIXELS} pixels or fewer",
            kind="unreadable label",
            files=[path],
        ) from None
    except (OSError, SyntaxError, UnidentifiedImageError) as error:
        raise FileError(
            f"label {path} is truncated or not an image ({error})",
            "fetch this file again",
            kind="unreadable label",
            files=[path],
        ) from None
    label = np.asarray(cv2.LUT(raw, space.lookup), np.uint8)
    if (label == UNKNOWN).any():
        unknown, pixels = np.unique(raw[label == UNKNOWN], return_counts=True)
        ignored = space.ignored_values
        or_ignored = f", or {_ranges(list(ignored))} for ignored" if ignored else ""
        raise FileError(
            f"label {path} holds value {', '.join(map(str, unknown))}, which is not in the label "
            f"space of {space.num_classes} classes",
            f"use {_ranges(sorted(space.values))}{or_ignored}",
            kind="label value",
            files=[path],
            values=dict(zip(unknown.tolist(), pixels.tolist(), strict=True)),
        )
    return label


def count_values(label: UInt8Array) -> npt.NDArray[np.int64]:
    """How many pixels of a label have each of the 256 values."""
    counts = np.zeros(256, np.int64)
    rows = max(1, _EXACT_COUNT // max(1, label.shape[1]))
    for top in range(0, label.shape[0], rows):
        part = cv2.calcHist([label[top : top + rows]], [0], None, [256], [0, 256])
        counts += part.ravel().astype(np.int64)
    return counts


def _ranges(values: list[int]) -> str:
    """Sorted values as text, runs shortened: 0-10, 255."""
    runs: list[list[int]] = []
    for value in sorted(set(values)):
        if runs and value == runs[-1][-1] + 1:
            runs[-1][1:] = [value]
        else:
            runs.append([value])
    return ", ".join("-".join(map(str, run)) for run in runs)
