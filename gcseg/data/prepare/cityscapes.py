"""Unpack Cityscapes, and write the labels as train ids next to the label ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from gcseg.data.cityscapes import cityscapes
from gcseg.data.label_spaces import CITYSCAPES, CITYSCAPES_LABEL_IDS
from gcseg.data.prepare.archives import ProgressBar, silent
from gcseg.data.prepare.layout import Layout, Part
from gcseg.data.prepare.masks import Mask, write_masks
from gcseg.data.prepare.sources import Say, alone_in, count, given, unpack_given
from gcseg.data.reading import read_label
from gcseg.errors import DataError

# Source: Cordts et al., CVPR 2016, section 2.2.
IMAGES = {"train": 2975, "val": 500, "test": 1525}

PAGE = "https://www.cityscapes-dataset.com/downloads/"
NAMES = ("leftImg8bit_trainvaltest.zip", "gtFine_trainvaltest.zip")
ENDINGS = {
    "leftImg8bit": ("_leftImg8bit.png",),
    "gtFine": ("_gtFine_labelIds.png", "_gtFine_labelTrainIds.png"),
}


def prepare_cityscapes(
    root: Path,
    *,
    sources: Sequence[Path] = (),
    download: bool = True,
    expected: Mapping[str, int] | None = IMAGES,
    progress: ProgressBar = silent,
    say: Say = print,
) -> dict[str, int]:
    """Unpack Cityscapes and write its train ids; see `Preparation` for the arguments.

    Each `*_gtFine_labelIds.png` gets a `*_gtFine_labelTrainIds.png` next to it, equal to the output
    of the official scripts, so that reading maps no values. Where such files exist, their size and
    values are checked. The archives need a login, so nothing is downloaded.

    Raises:
        DataError: Images or labels are missing or wrong, or an archive is damaged.
        OutputError: The disk is too small or can't be written.
    """
    with alone_in(root):
        paths = given(root, sources, NAMES)
        unpack_given(root, paths, root, LAYOUTS, cityscapes, list(IMAGES), progress, say)
        for folder in ("leftImg8bit/train", "gtFine/train"):
            if not (root / folder).is_dir():
                raise DataError(
                    f"there is no Cityscapes in {root}, {folder}/ is missing",
                    f"log in at {PAGE}, fetch {' and '.join(NAMES)}, and put them into this folder "
                    "or give them with source=; they hold "
                    "leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png and "
                    "gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png",
                )
        _write_train_ids(root / "gtFine", progress)
        splits = [split for split in IMAGES if (root / "leftImg8bit" / split).is_dir()]
        return count(cityscapes, root, splits, expected, say)


def _place(top: str, path: PurePosixPath) -> PurePosixPath | None:
    """Return the path of an image or label ids, as split/city/file below leftImg8bit or gtFine."""
    below = PurePosixPath(*path.parts[-4:])
    if len(below.parts) < 4 or below.parts[0] != top or below.parts[1] not in IMAGES:
        return None
    return below if below.name.endswith(ENDINGS[top]) else None


def _part(below: PurePosixPath) -> Part | None:
    top, split, _, name = below.parts
    if top == "leftImg8bit":
        return Part(split, "image", name.removesuffix(*ENDINGS[top]))
    if split == "test":  # has no true labels
        return None
    return Part(split, "label", name[: name.index("_gtFine_")])


# Each is a separate archive, and may be unpacked to a separate folder.
LAYOUTS = [
    Layout(name, partial(_place, top), (f"{top}/train",), _part)
    for name, top in zip(NAMES, ENDINGS, strict=True)
]


def _write_train_ids(labels: Path, progress: ProgressBar) -> None:
    ending, new = ENDINGS["gtFine"]
    masks = [
        Mask(
            target=path.with_name(path.name.removesuffix(ending) + new),
            source=str(path),
            picture=path,
            read=partial(read_label, path, CITYSCAPES_LABEL_IDS),
        )
        for path in sorted(labels.glob(f"*/*/*{ending}"))
    ]
    with progress("writing labelTrainIds") as report:
        write_masks(masks, len(masks), CITYSCAPES, report)
