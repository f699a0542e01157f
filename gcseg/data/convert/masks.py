"""Index masks on their way to an annotation tool: those of a dataset, or of predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from gcseg.data.datasets import SegmentationDataset, files_by_stem
from gcseg.data.images import UInt8Array
from gcseg.data.label_spaces import LabelSpace
from gcseg.data.parallel import Progress, in_parallel
from gcseg.data.reading import LABEL_SUFFIXES, read_label
from gcseg.errors import DataError
from gcseg.system.text import counted, shown

_Result = TypeVar("_Result")

MASKS = "masks"
"""Folder of the masks in what gcseg.predict writes."""


@dataclass(frozen=True)
class Masked:
    """A picture with its mask.

    Args:
        name: Its name in its split.
        split: Name of the split.
        picture: The picture's file.
        read: Returns the mask, H x W class indices with 255 ignored.
    """

    name: str
    split: str
    picture: Path
    read: Callable[[], UInt8Array]

    @property
    def file(self) -> str:
        """The picture's name with its suffix."""
        suffix = self.picture.suffix
        return self.name if self.name.endswith(suffix) else f"{self.name}{suffix}"


def of_datasets(datasets: Mapping[str, SegmentationDataset]) -> list[Masked]:
    """Return the pictures of splits with their labels.

    Raises:
        DataError: A split has no labels.
    """
    return [
        Masked(pair.name, split, pair.image, partial(_label, dataset.with_labels(), index))
        for split, dataset in datasets.items()
        for index, pair in enumerate(dataset.pairs)
    ]


def _label(dataset: SegmentationDataset, index: int) -> UInt8Array:
    label = dataset.read_label(index)
    assert label is not None
    return label


def mask_files(source: Path) -> dict[str, Path]:
    """Return the masks of a folder, or of predictions, which have them in masks/, by name.

    Raises:
        DataError: There are none.
    """
    folder = source / MASKS if (source / MASKS).is_dir() else source
    masks = files_by_stem(folder, LABEL_SUFFIXES)
    if not masks:
        raise DataError(f"no masks in {folder}", "give source= what gcseg.predict has written")
    return masks


def of_files(
    masks: Mapping[str, Path], space: LabelSpace, split: str, pictures: SegmentationDataset
) -> list[Masked]:
    """Return masks with the pictures of their names.

    Args:
        masks: Files of masks by name.
        space: Their classes.
        split: Name of their split.
        pictures: The pictures.

    Raises:
        DataError: A mask has no picture.
    """
    found = {pair.name: pair.image for pair in pictures.pairs}
    if alone := sorted(set(masks) - set(found)):
        raise DataError(
            f"{len(alone)} of {counted(len(masks), 'mask')} have no picture of their name in "
            f"{pictures.description}, such as {shown(alone[0])}",
            "give images= the pictures that were predicted, or split= their split",
        )
    return [
        Masked(name, split, found[name], partial(read_label, path, space))
        for name, path in masks.items()
    ]


def each(
    masks: Sequence[Masked], function: Callable[[Masked, UInt8Array], _Result], progress: Progress
) -> Iterator[tuple[Masked, _Result]]:
    """Yield each picture with what a function makes of its mask, in order."""
    results = in_parallel(lambda one: function(one, one.read()), masks, progress=progress)
    yield from zip(masks, results, strict=True)
