"""The layouts of a folder of pictures and masks: how one is stated, and how one is found."""

from __future__ import annotations

import functools
import itertools
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from PIL import Image

from gcseg.data.channels import stored_size
from gcseg.data.patterns import has_wildcard
from gcseg.data.reading import IMAGE_SUFFIXES
from gcseg.errors import DataError
from gcseg.system.terminal import announce
from gcseg.system.text import as_override, counted, listed, printable

LIST_SUFFIXES = (".txt", ".lst", ".csv", ".tsv")
"""Suffixes of lists of pictures."""

_IMAGES = ("images", "image", "img", "imgs", "img_dir", "JPEGImages")
_LABELS = ("labels", "label", "masks", "mask", "annotations", "annotation", "ann", "ann_dir",
           "SegmentationClass", "gt")  # fmt: skip
_LISTS = ("ImageSets/Segmentation/{split}.txt", "ImageSets/{split}.txt", "splits/{split}.txt",
          "{split}.txt")  # fmt: skip
_PAIR_LISTS = ("{split}.txt", "{split}_list.txt", "{split}.csv")
_ENDINGS = ("_mask", "_label", "_gt", "_seg", "_annotation")
_PHOTOGRAPHS = (".jpg", ".jpeg")
"""Suffixes that masks never have, so that a PNG of the same name may be the mask."""
_LISTED = 6  # names in a message


@dataclass(frozen=True)
class Layout:
    """The places of a split's pictures and masks, relative to the dataset's folder.

    In each, `{split}` stands for the split's name.

    Args:
        images: Folder, pattern with wildcards, or list of the pictures.
        labels: Folder or pattern of the masks; next to the pictures where it does not exist and
            masks have an ending.
        label_ending: End of the masks' stems after the pictures' stems.
        split_list: List of the split's pictures among those found; None for all of them.
    """

    images: str = "images/{split}"
    labels: str = "labels/{split}"
    label_ending: str = ""
    split_list: str | None = None

    def of_split(self, split: str) -> Layout:
        """Return the layout with the split's name in the place of `{split}`."""
        # Not str.format, which would let a pattern read attributes of the name.
        filled = {name: value and value.replace("{split}", split) for name, value in self._items()}
        return Layout(**filled)  # type: ignore[arg-type]

    @property
    def is_listed(self) -> bool:
        """Return whether `images` is a list."""
        return not has_wildcard(self.images) and self.images.lower().endswith(LIST_SUFFIXES)

    def stated(self) -> str:
        """Return the settings that state this layout on the command line."""
        usual = dict(Layout()._items())
        return " ".join(
            as_override(f"dataset.reader.{name}", value)
            for name, value in self._items()
            if value != usual[name]
        )

    def _items(self) -> Iterator[tuple[str, str | None]]:
        for field in fields(self):
            yield field.name, getattr(self, field.name)


DEFAULT = Layout()


def candidates(root: Path, split: str) -> Iterator[list[Layout]]:
    """Yield the common layouts whose places exist, in groups; a later group says less.

    Those of the first group divide the pictures into splits, those of the second do not.
    """
    folders = [
        (images, labels)
        for images, labels in itertools.product(_IMAGES, _LABELS)
        if _is_folder(root, images) and _is_folder(root, labels)
    ]
    in_split = [
        (images, labels)
        for images, labels in itertools.product(_IMAGES, _LABELS)
        if _is_folder(root, f"{split}/{images}") and _is_folder(root, f"{split}/{labels}")
    ]
    divided = [
        Layout(f"{images}/{{split}}", f"{labels}/{{split}}")
        for images, labels in folders
        if _is_folder(root, f"{images}/{split}") and _is_folder(root, f"{labels}/{split}")
    ]
    divided += [Layout(f"{{split}}/{images}", f"{{split}}/{labels}") for images, labels in in_split]
    if _is_folder(root, split):
        if _is_folder(root, f"{split}annot"):
            divided.append(Layout("{split}", "{split}annot"))
        divided += [Layout("{split}", "{split}", ending) for ending in _ENDINGS]
        divided += _suffixes_apart(root, split, "{split}/")
    lists = [one for one in _LISTS if _is_file(root, one.replace("{split}", split))]
    divided += [
        Layout(images, labels, split_list=one) for images, labels in folders for one in lists
    ]
    divided += [Layout(one) for one in _PAIR_LISTS if _is_file(root, one.replace("{split}", split))]
    yield divided
    # Folders in them may be splits.
    undivided = [
        Layout(*both) for both in folders if not any(_has_folders(root, one) for one in both)
    ]
    flat = [Layout(".", ".", ending) for ending in _ENDINGS] + _suffixes_apart(root, ".", "")
    yield [*undivided, *([] if _has_folders(root, ".") else flat)]


def _suffixes_apart(root: Path, folder: str, prefix: str) -> list[Layout]:
    """Return the layout of a folder in which a suffix alone tells pictures from masks, if any.

    There have to be JPEGs of one suffix, PNGs, and no other pictures, which would be left out.

    Args:
        root: Folder of the dataset.
        folder: The folder with both, relative to the root.
        prefix: Beginning of the layouts' patterns.
    """
    if not _is_folder(root, folder):
        return []
    suffixes = {os.path.splitext(entry.name)[1] for entry in os.scandir(root / folder)}  # noqa: PTH122
    pictures = [suffix for suffix in suffixes if suffix.lower() in IMAGE_SUFFIXES]
    others = [suffix for suffix in pictures if suffix != ".png"]
    if len(others) != 1 or len(pictures) != 2 or others[0].lower() not in _PHOTOGRAPHS:
        return []
    return [Layout(f"{prefix}*{others[0]}", f"{prefix}*.png")]


def is_surely_a_mask(picture: Path, mask: Path) -> bool:
    """Return whether a PNG that only its suffix tells from a picture is grey or has a palette.

    It has to have the picture's size, too. Pictures in colours are not taken for masks.
    """
    try:
        with Image.open(mask) as image:
            is_index = image.mode in ("P", "L", "1")
            return is_index and stored_size(picture, 3) == (image.height, image.width)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False


def _is_folder(root: Path, place: str) -> bool:
    return os.path.isdir(root / place)  # noqa: PTH112  # takes names of any length


def _has_folders(root: Path, place: str) -> bool:
    return any(one.is_dir() and not one.name.startswith(".") for one in os.scandir(root / place))


def _is_file(root: Path, place: str) -> bool:
    return os.path.isfile(root / place)  # noqa: PTH113  # takes names of any length


def no_layout(root: Path, found: list[Layout], split: str) -> DataError:
    """Return the error for a folder in which none or several of the common layouts fit.

    Args:
        root: Folder of the dataset.
        found: The layouts that fit.
        split: Name of the split.
    """
    if found:
        several = "; or ".join(layout.stated() for layout in found)
        return DataError(
            f"{root} has no images/ with a folder for each split, and several layouts fit it",
            f"state one: {several}",
        )
    cause = (
        f"{root} has no images/ with a folder for each split, and no common layout fits what it "
        f"holds: {_contents(root)}"
    )
    apart = _suffixes_apart(root, split, "{split}/") + _suffixes_apart(root, ".", "")
    if apart:
        return DataError(
            f"{cause}; its PNGs are not certain to be masks: some are in colours, of another size, "
            "or of another name than a picture",
            f"if they are the pictures' masks, state it: {apart[0].stated()}",
        )
    return DataError(
        cause,
        "check dataset.root, or state where pictures and masks are with dataset.reader.images= and "
        "dataset.reader.labels=",
    )


def _contents(root: Path) -> str:
    try:
        names = sorted(entry.name + "/" * entry.is_dir() for entry in root.iterdir())
    except OSError:
        return "nothing that can be read"
    names = [name for name in names if not name.startswith(".")]
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return (", ".join(map(printable, names[:_LISTED])) or "nothing") + more


@functools.cache
def say_found(root: Path, layout: Layout, *, divided: bool) -> None:
    """Print once which layout was found, and how to state it.

    Args:
        root: Folder of the dataset.
        layout: The layout.
        divided: Whether it divides the pictures into splits.
    """
    announce(f"{root} is read as it is laid out: {layout.stated()}")
    if not divided:
        announce("it has no splits: dataset.val_fraction=0.1 or dataset.fold=0/5 divides it")


def say_shared_masks(listing: str, images: Mapping[str, Path], labels: Mapping[str, Path]) -> None:
    """Print once if a list gives several pictures one mask, which is rarely meant.

    Args:
        listing: The list.
        images: Pictures by name.
        labels: Masks by name of the picture.
    """
    taken = Counter(labels.values())
    shared = [name for name, path in labels.items() if taken[path] > 1]
    if not shared:
        return
    mask = labels[shared[0]]
    names = [printable(images[name].name) for name in shared if labels[name] == mask]
    also = " and others" if len(shared) > len(names) else ""
    _announce_once(
        f"note: {listing} gives {len(shared):,} of {counted(len(images), 'picture')} the mask of "
        f"another one: {printable(mask.name)} to {listed(names, most=3)}{also}; correct it unless "
        "it is meant"
    )


@functools.cache
def _announce_once(line: str) -> None:
    announce(line)
