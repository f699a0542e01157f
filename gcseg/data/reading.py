"""Readers of images and label masks, whose errors name the file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
import numpy.typing as npt

from gcseg.data import jpeg
from gcseg.data.color_masks import ColorKey
from gcseg.data.faults import FileError
from gcseg.data.images import (
    MOST_PIXELS,
    DamagedError,
    UInt8Array,
    UnsuitableError,
    upper_bits_of,
)
from gcseg.data.index_masks import read_colors, read_indices
from gcseg.data.label_spaces import UNKNOWN, LabelSpace
from gcseg.data.tiff import STARTS as TIFF_STARTS
from gcseg.data.tiff import read_tiff

__all__ = ["IMAGE_SUFFIXES", "LABEL_SUFFIXES", "UInt8Array", "count_values", "read_image",
           "read_label"]  # fmt: skip

IMAGE_SUFFIXES = (
    ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".tif", ".tiff", ".webp", ".gif",
    ".avif", ".jp2", ".j2k", ".ppm", ".pgm", ".pbm", ".pnm",
)  # fmt: skip
"""Suffixes of files that are listed as pictures in any folder; their content decides the format."""

LABEL_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".gif", ".npy")
"""Suffixes of masks: formats that store values without loss."""

_EXACT_COUNT = 1 << 24  # OpenCV's histogram, ten times NumPy's speed, counts in float32
_PNG_START = b"\x89PNG\r\n\x1a\n"
_HEAD = 64  # bytes that tell what a file is
_UNREAD = {
    b"version https://git-lfs": ("is a pointer of Git LFS", "fetch its content: git lfs pull"),
    b"%PDF": ("is a PDF", "draw its pages as PNG"),
    b"8BPS": ("is a Photoshop file", "save it as PNG"),
    b"\x76\x2f\x31\x01": ("is an OpenEXR file", "convert it to 8 bits (PNG)"),
}
"""First bytes of files that are mistaken for pictures, with their fault and remedy."""
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

if "OPENCV_LOG_LEVEL" not in os.environ:  # its messages lack the file's name, ours have it
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def read_image(path: Path) -> UInt8Array:
    """Read an image file as RGB; of several pictures, the first.

    Returns:
        H x W x 3 uint8; grey images become three equal channels.

    Raises:
        FileError: The file is missing, unreadable, cut off, damaged, or holds no picture of 8 or
            16 unsigned bits.
    """
    head = head_of(path, "image")
    try:
        image = _decoded(path, head)
    except DamagedError as error:
        raise FileError(
            f"image {path} is damaged ({error}; {path.stat().st_size} bytes)",
            "fetch this file again, or leave it out",
            kind="unreadable image",
            files=[path],
        ) from None
    except UnsuitableError as error:
        raise FileError(
            f"image {path} {error.reason}", error.remedy, kind="unreadable image", files=[path]
        ) from None
    if image is None:
        cause = f"is truncated or not an image ({path.stat().st_size} bytes)"
        cause, remedy = _what_it_is(head) or (cause, "fetch this file again")
        raise FileError(f"image {path} {cause}", remedy, kind="unreadable image", files=[path])
    return image


def head_of(path: Path, what: str) -> bytes:
    """Read the first bytes of a file.

    Raises:
        FileError: The file is missing, not a regular file, or can't be opened.
    """
    try:
        if not path.is_file():  # opening a pipe would block until a write
            cause, remedy = _why_no_file(path)
            raise FileError(f"{what} {path} {cause}", remedy, kind=f"missing {what}", files=[path])
        with path.open("rb") as file:
            return file.read(_HEAD)
    except OSError as error:
        raise FileError(
            f"{what} {path} can't be opened ({error.strerror})",
            "check its permissions",
            kind=f"unreadable {what}",
            files=[path],
        ) from None


def _why_no_file(path: Path) -> tuple[str, str]:
    """Return why a path is not a file, and the remedy."""
    if path.exists():
        return "is not a regular file", "remove it, or put a file in its place"
    if path.is_symlink():
        cause = f"is a link to {path.readlink()}, which does not exist"
        return cause, "remove the link, or restore the file that it points to"
    return "does not exist", "check dataset.root"


def _what_it_is(head: bytes) -> tuple[str, str] | None:
    """Return what an unsupported file is, and the remedy; None if that is not known."""
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC:
        return "is HEIC, which is not read", "convert it to PNG or JPEG"
    return next((told for start, told in _UNREAD.items() if head.startswith(start)), None)


def _decoded(path: Path, head: bytes) -> UInt8Array | None:
    """Decode the pixels of a picture, H x W x 3 RGB; None if no library knows it.

    Raises:
        DamagedError: Part of the file is missing or wrong.
        UnsuitableError: The file is no picture of 8 or 16 unsigned bits, or too large.
    """
    image: UInt8Array | None = None
    if head.startswith(jpeg.START):
        content = path.read_bytes()
        if jpeg.pixels_of(content) < MOST_PIXELS:
            image = jpeg.read_jpeg(content)
    elif head.startswith(TIFF_STARTS):
        image = read_tiff(path)
    if image is None:
        image = _decoded_by_opencv(path)
    is_wide_png = head.startswith(_PNG_START) and head[24:25] == b"\x10"
    return upper_bits_of(image) if image is not None and is_wide_png else image


def _decoded_by_opencv(path: Path) -> UInt8Array | None:
    try:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    except cv2.error:
        raise UnsuitableError(
            "is too large for OpenCV", "cut it into parts of less than 2^30 pixels"
        ) from None
    return None if image is None or is_cut_off(path) else np.asarray(image, np.uint8)


def is_cut_off(path: Path) -> bool:
    """Return whether a PNG lacks its end, which OpenCV or Pillow may fill in silently."""
    with path.open("rb") as file:
        return file.read(len(_PNG_START)) == _PNG_START and not _png_ends(file)


def _png_ends(file: BinaryIO) -> bool:
    """Return whether a PNG has its last chunk, IEND; other data may follow it."""
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
    """Read a mask and map it to class indices.

    A mask holds values (grey or palette, samples unchanged), or colours where the label space has
    a key of them.

    Returns:
        H x W uint8: class indices, 255 where ignored.

    Raises:
        FileError: The file is missing, unreadable, cut off, no such mask, or holds a value or a
            colour that the label space does not know.
    """
    head = head_of(path, "label")
    read = read_indices if space.key is None else read_colors
    try:
        raw = read(path, tiff=head.startswith(TIFF_STARTS))
        if is_cut_off(path):
            raise DamagedError("its end is missing")
    except DamagedError as error:
        raise FileError(
            f"label {path} is truncated or not an image ({error})",
            "fetch this file again",
            kind="unreadable label",
            files=[path],
        ) from None
    except UnsuitableError as error:
        raise FileError(
            f"label {path} {error.reason}", error.remedy, kind="not an index mask", files=[path]
        ) from None
    if space.key is not None:
        return _in_classes(path, raw, space.key)
    label = np.asarray(cv2.LUT(raw, space.lookup), np.uint8)
    if (label == UNKNOWN).any():
        raise _unknown_values(path, raw[label == UNKNOWN], space)
    return label


def is_tiff(path: Path) -> bool:
    """Return whether a file begins as a TIFF; false if it can't be read."""
    try:
        return head_of(path, "label").startswith(TIFF_STARTS)
    except FileError:
        return False


def _in_classes(path: Path, mask: UInt8Array, key: ColorKey) -> UInt8Array:
    """Map a mask in colours, H x W x 3, to class indices, H x W.

    Raises:
        FileError: A colour is no class's.
    """
    label = key.class_indices(mask)
    if (complaint := key.complaint(mask, label)) is not None:
        cause, remedy = complaint
        raise FileError(f"label {path} {cause}", remedy, kind="label value", files=[path])
    return label


def _unknown_values(path: Path, pixels: UInt8Array, space: LabelSpace) -> FileError:
    """Return the error for pixels of a label whose values the label space does not know."""
    unknown, counts = np.unique(pixels, return_counts=True)
    ignored = space.ignored_values
    or_ignored = f", or {_ranges(list(ignored))} for ignored" if ignored else ""
    return FileError(
        f"label {path} holds value {', '.join(map(str, unknown))}, which is not in the label "
        f"space of {space.num_classes} classes",
        f"use {_ranges(sorted(space.values))}{or_ignored}",
        kind="label value",
        files=[path],
        values=dict(zip(unknown.tolist(), counts.tolist(), strict=True)),
    )


def count_values(label: UInt8Array) -> npt.NDArray[np.int64]:
    """Return the number of a label's pixels with each of the 256 values."""
    counts = np.zeros(256, np.int64)
    rows = max(1, _EXACT_COUNT // max(1, label.shape[1]))
    for top in range(0, label.shape[0], rows):
        part = cv2.calcHist([label[top : top + rows]], [0], None, [256], [0, 256])
        counts += part.ravel().astype(np.int64)
    return counts


def _ranges(values: list[int]) -> str:
    """Format sorted values as text, runs shortened: 0-10, 255."""
    runs: list[list[int]] = []
    for value in sorted(set(values)):
        if runs and value == runs[-1][-1] + 1:
            runs[-1][1:] = [value]
        else:
            runs.append([value])
    return ", ".join("-".join(map(str, run)) for run in runs)
