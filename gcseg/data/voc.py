"""PASCAL VOC 2012 segmentation, with the augmented training set of Hariharan et al. (ICCV 2011)."""

from __future__ import annotations

import os
from pathlib import Path

from gcseg.data.datasets import Pair, SegmentationDataset
from gcseg.data.faults import FileError, raise_or_collect
from gcseg.data.label_spaces import VOC, LabelSpace
from gcseg.data.name_lists import read_names
from gcseg.errors import ConfigError, DataError
from gcseg.system.text import shown

AUGMENTED = "trainaug"


def voc(
    root: str | Path,
    split: str,
    label_space: LabelSpace = VOC,
    *,
    faults: list[DataError] | None = None,
) -> SegmentationDataset:
    """Read a split of VOC 2012: the images that `ImageSets/Segmentation/<split>.txt` names.

    Args:
        root: The folder that holds VOCdevkit/VOC2012, or VOC2012 itself.
        split: train, val, trainval, test, or trainaug, whose labels come from
            SegmentationClassAug.
        label_space: Meaning of the indices of the palette PNGs.
        faults: Collects missing files, see `gcseg.data.faults.raise_or_collect`.

    Raises:
        ConfigError: The split has no list.
        DataError: A listed image or label is missing, or the list can't be read.
    """
    root = Path(root)
    devkit = next(
        (base for base in (root / "VOCdevkit" / "VOC2012", root / "VOC2012", root)
         if (base / "ImageSets" / "Segmentation").is_dir()),
        None,
    )  # fmt: skip
    if devkit is None:
        raise DataError(
            f"no VOCdevkit/VOC2012/ImageSets/Segmentation in {root}",
            "set dataset.root to the folder that holds VOCdevkit",
        )
    lists = devkit / "ImageSets" / "Segmentation"
    listing = lists / f"{split}.txt"
    if not os.path.isfile(listing):  # noqa: PTH113  # which takes names of any length
        known = sorted(path.stem for path in lists.glob("*.txt"))
        remedy = f"use one of {known}"
        if split == "test":
            remedy = f"unpack VOC2012test.tar, which has its list and its images, or {remedy}"
        raise ConfigError(f"voc has no split '{shown(split)}' in {lists}", remedy)
    labels = devkit / ("SegmentationClassAug" if split == AUGMENTED else "SegmentationClass")
    images = devkit / "JPEGImages"
    pairs = []
    for listed in read_names(listing, images, faults):
        label = None if split == "test" else labels / f"{listed.name}.png"
        pair = Pair(listed.name, images / f"{listed.name}.jpg", label, label_space)
        if _is_whole(pair, f"line {listed.line} of {listing}", faults):
            pairs.append(pair)
    return SegmentationDataset(pairs, label_space, str(listing))


def _is_whole(pair: Pair, where: str, faults: list[DataError] | None) -> bool:
    """Return whether the listed files exist; missing ones are faults."""
    whole = True
    for kind, path in (("image", pair.image), ("label", pair.label)):
        # Of os.path, which takes names of any length.
        if path is not None and not os.path.isfile(path):  # noqa: PTH113
            whole = False
            error = FileError(
                f"{where} is {shown(pair.name)}, but its {kind} {_short(path)} does not exist",
                "add the file or take the name off the list",
                kind=f"missing {kind}",
                files=[path],
            )
            raise_or_collect(error, faults)
    return whole


def _short(path: Path) -> Path:
    """A path whose name, which may be a whole line of a list, is cut."""
    return path.with_name(shown(path.name))
