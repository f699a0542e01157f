"""The masks of VOC's augmented training set, in both published forms."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from gcseg.data.prepare.archives import Entry
from gcseg.data.prepare.layout import the_one
from gcseg.data.reading import UInt8Array
from gcseg.errors import ConfigError, DataError

FOLDER = "SegmentationClassAug"
"""Name of the masks' folder where they have been converted."""

_NAME = re.compile(r"\d{4}_\d{6}")  # of a picture of VOC


def masks_of(entries: Sequence[Entry]) -> dict[str, Entry]:
    """Return the masks by picture, in the order of the archive.

    These are SBD's `cls/<name>.mat`, or `SegmentationClassAug/<name>.png`; a source may also be the
    folder that holds them.
    """
    return {entry.path.stem: entry for entry in entries if _is_mask(entry)}


def at_one_place(source: Path, entries: Sequence[Entry], target: Path) -> list[Entry]:
    """Return the masks in the only folder of a source with masks, and SBD's lists next to it.

    Raises:
        DataError: There are several such folders.
    """
    folders = {entry.path.parent for entry in entries if _is_mask(entry)}
    folder = the_one(source, folders, f"SBD or {FOLDER}", target)
    if folder is None:
        return []
    return [
        entry
        for entry in entries
        if (entry.path.parent == folder and _is_mask(entry))
        or (folder.name == "cls" and entry.path.parent == folder.parent)
    ]


def _is_mask(entry: Entry) -> bool:
    kinds = {("cls", ".mat"), ("", ".mat"), (FOLDER, ".png"), ("", ".png")}
    kind = (entry.path.parent.name, entry.path.suffix)
    return kind in kinds and _NAME.fullmatch(entry.path.stem) is not None


def listed_names(entries: Sequence[Entry]) -> set[str]:
    """Return the pictures in SBD's own train.txt and val.txt, whose splits differ from VOC's."""
    lists = {PurePosixPath("dataset", name) for name in ("train.txt", "val.txt")}
    # The source may be the folder dataset itself.
    lists |= {PurePosixPath(path.name) for path in lists}
    return {
        name
        for entry in entries
        if PurePosixPath(*entry.path.parts[-2:]) in lists
        for name in entry.read().decode("ascii", "replace").split()
    }


def check_reader() -> None:
    """Check that the reader of .mat files is installed.

    Raises:
        ConfigError: scipy is missing.
    """
    try:
        import scipy.io  # type: ignore[import-untyped]  # noqa: F401
    except ImportError:
        raise ConfigError(
            "SBD's .mat files need scipy",
            f"pip install 'gcseg[sbd]', or give a {FOLDER} with source=",
        ) from None


def read_mask(entry: Entry, content: bytes) -> UInt8Array:
    """Read a mask.

    Args:
        entry: Archive entry of the mask.
        content: Content of that file.

    Returns:
        Mask values, H x W uint8.

    Raises:
        DataError: The file is damaged, or no index mask.
    """
    try:
        values = _of_mat(content) if entry.path.suffix == ".mat" else _of_png(content)
        if values.ndim != 2 or values.dtype != np.uint8:
            raise ValueError(f"{values.ndim} dimensions of {values.dtype}, not 2 of uint8")
    except Exception as error:  # the readers raise errors of many types for damaged files
        raise DataError(
            f"{entry} is not an index mask ({error})", "fetch the archive again"
        ) from error
    return values


def _of_mat(content: bytes) -> UInt8Array:
    """Read the field Segmentation of SBD's struct GTcls."""
    from scipy.io import loadmat

    struct = loadmat(io.BytesIO(content), variable_names=["GTcls"])["GTcls"]
    return np.asarray(struct[0]["Segmentation"][0])


def _of_png(content: bytes) -> UInt8Array:
    with Image.open(io.BytesIO(content)) as image:
        if image.mode not in ("L", "P"):
            raise ValueError(f"mode {image.mode}")
        return np.asarray(image)
