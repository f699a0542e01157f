"""PASCAL VOC 2012 segmentation, with the augmented training set of Hariharan et al. (ICCV 2011)."""

from __future__ import annotations

from pathlib import Path

from gcseg.data.datasets import Pair, SegmentationDataset
from gcseg.data.label_spaces import VOC, LabelSpace
from gcseg.errors import ConfigError, DataError

AUGMENTED = "trainaug"


def voc(root: str | Path, split: str, label_space: LabelSpace = VOC) -> SegmentationDataset:
    """Read a split of VOC 2012: the images that `ImageSets/Segmentation/<split>.txt` names.

    Args:
        root: The folder that holds VOCdevkit/VOC2012, or VOC2012 itself.
        split: train, val, trainval, test, or trainaug, whose labels come from
            SegmentationClassAug.
        label_space: What the indices of the palette PNGs mean.

    Raises:
        ConfigError: The split has no list.
        DataError: A listed image or label is missing.
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
    if not listing.is_file():
        known = sorted(path.stem for path in lists.glob("*.txt"))
        raise ConfigError(f"voc has no split {split!r} in {lists}", f"use one of {known}")
    labels = devkit / ("SegmentationClassAug" if split == AUGMENTED else "SegmentationClass")
    names = [line.split()[0] for line in listing.read_text().splitlines() if line.strip()]
    pairs = [_pair(devkit, labels, Path(name).stem, split, label_space) for name in names]
    return SegmentationDataset(pairs, label_space, str(listing))


def _pair(devkit: Path, labels: Path, name: str, split: str, label_space: LabelSpace) -> Pair:
    image = devkit / "JPEGImages" / f"{name}.jpg"
    label = labels / f"{name}.png"
    for kind, path in (("image", image), ("label", label)):
        if not path.is_file() and not (kind == "label" and split == "test"):
            raise DataError(
                f"{split}.txt lists {name}, but its {kind} {path} does not exist",
                "add the file or take the name off the list",
            )
    return Pair(name, image, None if split == "test" else label, label_space)
