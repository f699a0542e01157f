"""Examine one pair of files for errors in training and for faults that training overlooks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from gcseg.data.check.alignment import Outline, outline
from gcseg.data.check.findings import Finding
from gcseg.data.datasets import Pair, SegmentationDataset, read_files
from gcseg.data.faults import FileError
from gcseg.data.images import ORIENTATION, Picture, PictureFormat, displayed
from gcseg.data.label_spaces import IGNORE_INDEX
from gcseg.data.reading import UInt8Array, count_values, read_image, read_label
from gcseg.errors import DataError

_ANIMATED = ("AVIF", "GIF", "PNG", "TIFF", "WEBP")
"""Formats checked for several pictures; JPEG is not, as its second one is depth or a thumbnail."""
_Result = TypeVar("_Result")


@dataclass
class Examination:
    """Result of examining one pair.

    Args:
        findings: Findings of the pair.
        digest: Digest of the picture's size and pixels; None if it can't be read.
        counts: Pixels of the label by value (256); None without a readable label.
        outline: Outline for finding exchanged labels; None if it can't be computed.
    """

    findings: list[Finding] = field(default_factory=list)
    digest: bytes | None = None
    counts: npt.NDArray[np.int64] | None = None
    outline: Outline | None = None


def examine(dataset: SegmentationDataset, split: str, index: int) -> Examination:
    """Read one pair once, as training would, and run all checks on it.

    Every error becomes a finding of this pair.
    """
    pair = dataset.pairs[index]
    seen = Examination()
    try:
        _examine(dataset, split, index, seen)
    except Exception as error:  # one file must not end the check of all others
        remedy = error.remedy if isinstance(error, DataError) else "check that the file is complete"
        kind = "reading" if isinstance(error, DataError) else "unexpected"
        cause = error.cause if isinstance(error, DataError) else f"{type(error).__name__}: {error}"
        files = tuple(pair.files)
        message = cause if str(pair.image) in cause else f"{pair.image}: {cause}"
        seen.findings.append(Finding(kind, split, message, remedy, files))
    return seen


def _examine(dataset: SegmentationDataset, split: str, index: int, seen: Examination) -> None:
    pair = dataset.pairs[index]
    image: Picture | None
    label: UInt8Array | None
    try:
        image, label = dataset.read(index)
        whole = True
    except FileError as error:
        image, label = _examine_apart(pair, dataset.pictures, split, error, seen)
        whole = False
    if label is not None:
        seen.counts = count_values(label)
        if pair.label is not None and seen.counts[IGNORE_INDEX] == label.size:
            seen.findings.append(
                Finding(
                    "ignored label",
                    split,
                    f"label {pair.label} is ignored in all its pixels",
                    "label the image, or leave it out",
                    (pair.label,),
                )
            )
    if image is not None:
        digest = hashlib.sha1(str(image.shape).encode(), usedforsecurity=False)  # the fastest
        digest.update(np.ascontiguousarray(image).data)
        seen.digest = digest.digest()
        if dataset.pictures.is_usual and not pair.bands:
            _examine_header(pair, split, image, label, seen)
    if whole and image is not None and label is not None:
        seen.outline = outline(displayed(image), label)


def _examine_apart(
    pair: Pair, pictures: PictureFormat, split: str, error: FileError, seen: Examination
) -> tuple[Picture | None, UInt8Array | None]:
    """Examine both files of a refused pair separately, as each may have its own fault."""
    errors: list[FileError] = []
    image = _attempt(lambda: read_files(pair, pictures)[0], errors)
    label = None
    if (path := pair.label) is not None:
        label = _attempt(lambda: read_label(path, pair.label_space), errors)
        if label is None and image is not None and _are_swapped(pair, path):
            seen.findings.append(
                Finding(
                    "swapped files",
                    split,
                    f"image {pair.image} is a mask and label {path} is a picture",
                    "exchange the two files",
                    (pair.image, path),
                )
            )
            return None, None
    for one in errors or [error]:
        seen.findings.append(from_error(one, split))
    return image, label


def _attempt(read: Callable[[], _Result], errors: list[FileError]) -> _Result | None:
    try:
        return read()
    except FileError as error:
        errors.append(error)
        return None


def _are_swapped(pair: Pair, label: Path) -> bool:
    """Return whether the image can be read as the label, and the label as an image."""
    errors: list[FileError] = []
    _attempt(lambda: read_label(pair.image, pair.label_space), errors)
    _attempt(lambda: read_image(label), errors)
    return not errors


def from_error(error: DataError, split: str) -> Finding:
    """Return the finding for an error of a reader or of a file."""
    if not isinstance(error, FileError):
        return Finding("reading", split, error.cause, error.remedy)
    pixels = sum(error.values.values())
    message = f"{error.cause} ({pixels:,} pixels)" if pixels else error.cause
    return Finding(error.kind, split, message, error.remedy, error.files, values=error.values)


class _Header(NamedTuple):
    height: int
    width: int
    sixteen_bits: bool
    fourth: bool
    frames: int
    orientation: int
    transparent: float


def _examine_header(
    pair: Pair, split: str, image: UInt8Array, label: UInt8Array | None, seen: Examination
) -> None:
    """Find properties that are lost when an image is read as 8-bit RGB."""

    def add(kind: str, message: str, remedy: str) -> None:
        seen.findings.append(Finding(kind, split, message, remedy, (pair.image,)))

    if (header := _header(pair.image)) is None:
        return
    for kind, message, remedy in _left_out(pair.image, header):
        add(kind, message, remedy)
    if header.frames > 1:
        message = f"image {pair.image} has {header.frames} frames, of which the first is read"
        add("several frames", message, "store each frame to be read as a file")
    if header.transparent:
        share = f"{100 * header.transparent:.2g} %"
        message = f"image {pair.image} is transparent in {share} of its pixels, which is left out"
        add("transparent image", message, "draw it on a background")
    if header.orientation != 1:
        _add_rotation(pair, split, header, image, label, seen)


def left_out(path: Path) -> list[tuple[str, str, str]]:
    """Return the bits and channels of a picture that are not read as RGB of 8 bits.

    Returns:
        Kind, message and remedy of each.
    """
    header = _header(path)
    return [] if header is None else _left_out(path, header)


def _left_out(path: Path, header: _Header) -> list[tuple[str, str, str]]:
    found = []
    if header.sixteen_bits:
        found.append(
            (
                "16-bit image",
                f"image {path} has 16 bits per channel, of which the upper 8 are read",
                "dataset.scale=65535, or the largest value that occurs, reads them all",
            )
        )
    if header.fourth:
        found.append(
            (
                "fourth channel",
                f"image {path} has 4 channels, of which the first 3 are read",
                "dataset.channels=4 reads them all",
            )
        )
    return found


def _add_rotation(
    pair: Pair,
    split: str,
    header: _Header,
    image: UInt8Array,
    label: UInt8Array | None,
    seen: Examination,
) -> None:
    stored, read = f"{header.height}x{header.width}", f"{image.shape[0]}x{image.shape[1]}"
    message = f"image {pair.image} has EXIF orientation {header.orientation}: stored as {stored}"
    message += f" and turned to {read}"
    files, severity = [pair.image], ""
    if pair.label is not None and label is not None:
        files.append(pair.label)
        message += f", its label is {label.shape[0]}x{label.shape[1]} (height x width)"
    if any(finding.kind == "size mismatch" for finding in seen.findings):
        seen.findings = [one for one in seen.findings if one.kind != "size mismatch"]
        severity = "error"
    remedy = "labels must be drawn on the turned image: save the image upright, without the tag"
    seen.findings.append(
        Finding("rotated image", split, message, remedy, tuple(files), severity or "warning")
    )


def _header(path: Path) -> _Header | None:
    """Read an image's header with Pillow; None for what it can't read, and for a named pipe."""
    if not path.is_file():  # opening a pipe would wait for somebody to write into it
        return None
    try:
        with Image.open(path) as file:
            # For EXIF behind a PNG's pixels, Pillow would decode all of it.
            may_turn = file.format != "PNG" or "exif" in file.info
            orientation = int(file.getexif().get(ORIENTATION, 1)) if may_turn else 1
            # The mode of 16-bit colours is RGB, so only the storage format shows them.
            raw_modes = [
                tile.args[0] if isinstance(tile.args, tuple) else tile.args for tile in file.tile
            ]
            sixteen_bits = any("16" in str(mode) for mode in (file.mode, *raw_modes))
            frames = getattr(file, "n_frames", 1) if file.format in _ANIMATED else 1
            transparent = 0.0
            if "A" in file.getbands() or "transparency" in file.info:
                alpha = np.asarray(file.convert("RGBA"))[..., 3]
                transparent = float((alpha < 255).mean())
            # Other formats pad pixels to four bytes.
            fourth = file.format == "TIFF" and any("RGBX" in str(mode) for mode in raw_modes)
            return _Header(
                file.height, file.width, sixteen_bits, fourth, frames, orientation, transparent
            )
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
