"""Cityscapes (Cordts et al., CVPR 2016) as downloaded: leftImg8bit/ and gtFine/."""

from __future__ import annotations

from pathlib import Path

from gcseg.data.datasets import Pair, SegmentationDataset, files_by_stem
from gcseg.data.faults import FileError, raise_or_collect
from gcseg.data.label_spaces import CITYSCAPES, CITYSCAPES_LABEL_IDS
from gcseg.errors import ConfigError, DataError
from gcseg.system.text import shown

SPLITS = {
    "train": ("train",),
    "val": ("val",),
    "test": ("test",),
    "trainvalidation": ("train", "val"),
}


def cityscapes(
    root: str | Path, split: str, *, faults: list[DataError] | None = None
) -> SegmentationDataset:
    """Read a split of Cityscapes; no preparation is needed.

    `*_gtFine_labelIds.png` are mapped to the 19 train ids while reading;
    `*_gtFine_labelTrainIds.png` are taken where they are present. Labels of the test split are
    not public, so that split has none.

    Args:
        root: The folder that holds leftImg8bit/ and gtFine/.
        split: train, val, test or trainvalidation.
        faults: Collects files without a partner, see `gcseg.data.faults.raise_or_collect`.

    Raises:
        ConfigError: An unknown split.
        DataError: A folder is missing, or an image has no label.
    """
    if split not in SPLITS:
        raise ConfigError(
            f"cityscapes has no split '{shown(split)}'", f"use one of {', '.join(SPLITS)}"
        )
    root = Path(root)
    pairs = [pair for part in SPLITS[split] for pair in _pairs(root, part, faults)]
    images, labels = (f"{root / name} ({split})" for name in ("leftImg8bit", "gtFine"))
    return SegmentationDataset(pairs, CITYSCAPES, images, labels_description=labels)


def _pairs(root: Path, part: str, faults: list[DataError] | None) -> list[Pair]:
    images = files_by_stem(root / "leftImg8bit" / part, (".png",), "_leftImg8bit", faults)
    if part == "test":
        return [Pair(name, path, None, CITYSCAPES) for name, path in images.items()]
    labels_root = root / "gtFine" / part
    train_ids = files_by_stem(labels_root, (".png",), "_gtFine_labelTrainIds", faults)
    label_ids = files_by_stem(labels_root, (".png",), "_gtFine_labelIds", faults)
    pairs = []
    for name, path in images.items():
        if name in train_ids:
            pairs.append(Pair(name, path, train_ids[name], CITYSCAPES))
        elif name in label_ids:
            pairs.append(Pair(name, path, label_ids[name], CITYSCAPES_LABEL_IDS))
        else:
            error = FileError(
                f"image {path} has no label",
                f"add {labels_root / name}_gtFine_labelIds.png from gtFine_trainvaltest.zip",
                kind="missing label",
                files=[path],
            )
            raise_or_collect(error, faults)
    for name, path in {**label_ids, **train_ids}.items():
        if name not in images:
            error = FileError(
                f"label {path} has no image",
                "add the image or remove the label",
                kind="missing image",
                files=[path],
            )
            raise_or_collect(error, faults)
    return pairs
