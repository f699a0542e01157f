"""Any folders of images and masks: user data, and datasets of that layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from gcseg.data.band_files import find_bands, with_bands
from gcseg.data.class_list import ClassList, read_class_list
from gcseg.data.color_masks import UnknownColors
from gcseg.data.datasets import Pair, SegmentationDataset, pair_by_name
from gcseg.data.find import Found, find_files
from gcseg.data.index_masks import holds_colors
from gcseg.data.label_spaces import CAMVID, LabelSpace
from gcseg.data.layouts import (
    DEFAULT,
    Layout,
    candidates,
    is_surely_a_mask,
    no_layout,
    say_found,
    say_shared_masks,
)
from gcseg.data.patterns import has_wildcard
from gcseg.data.reading import is_tiff
from gcseg.errors import ConfigError, DataError
from gcseg.system.text import shown

Masks = Literal["auto", "values", "colors"]


def folder(
    root: str | Path,
    split: str,
    *,
    classes: str | LabelSpace = "classes.yaml",
    images: str = DEFAULT.images,
    labels: str = DEFAULT.labels,
    label_ending: str = DEFAULT.label_ending,
    split_list: str | None = DEFAULT.split_list,
    outside: bool = False,
    masks: Masks = "auto",
    unknown_colors: UnknownColors = "error",
    bands: Sequence[str] | None = None,
    faults: list[DataError] | None = None,
) -> SegmentationDataset:
    """Read a split of pictures and masks, paired by name or by a list.

    What a setting leaves at its default the class list may state. Where nothing states the layout
    and the default one is not there, a common layout is read if it is the only one that fits.

    Args:
        root: Folder of the dataset.
        split: Name that replaces `{split}` in the paths.
        classes: The class list: a YAML file, relative to the root, or a label space.
        images: The pictures, relative to the root: a folder, a pattern with `*`, `?` and `**`, or a
            list (`.txt`, `.lst`, `.csv`, `.tsv`) of pictures, or of pictures and masks.
        labels: The masks' folder or pattern, relative to the root; if it does not exist, masks are
            next to the pictures, or without `label_ending` the split has no labels.
        label_ending: End of the masks' stems after the pictures' stems, such as `_mask`.
        split_list: List of the pictures that are in the split, relative to the root; None for all.
        outside: Whether a list of pictures may name files outside the root.
        masks: What masks hold: class values, or colours of the class list; `auto`: colours where
            the first mask has three channels and the class list has colours.
        unknown_colors: What becomes of colours that no class has.
        bands: Patterns of the files that are the bands of a picture, in `images`' place; see
            `gcseg.data.band_files.find_bands`.
        faults: Collects files without a partner, see `gcseg.data.faults.raise_or_collect`.

    Raises:
        ConfigError: The class list or a setting is wrong, or both images and bands are given.
        DataError: A folder or list is missing or empty, an image has no mask of its name, or no
            layout is certain.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for kind, shape in (("images", (4, 6, 3)), ("labels", (4, 6))):
        ...         path = Path(root, kind, "train", "a.png")
        ...         path.parent.mkdir(parents=True)
        ...         Image.fromarray(np.zeros(shape, np.uint8)).save(path)
        ...     _ = Path(root, "classes.yaml").write_text("classes: [road, car]")
        ...     dataset = folder(root, "train")
        ...     image, label = dataset.read(0)
        >>> len(dataset), dataset.label_space.names, image.shape, label.shape
        (1, ('road', 'car'), (4, 6, 3), (4, 6))
    """
    root = Path(root)
    listed = read_class_list(root / classes) if isinstance(classes, str) else ClassList(classes)
    layout = _stated(Layout(images, labels, label_ending, split_list), listed)
    if masks == "auto":
        masks = _choice(listed, "masks", ("auto", "values", "colors"), masks)  # type: ignore[assignment]
    if unknown_colors == "error":
        kinds = ("error", "nearest", "ignored")
        unknown_colors = _choice(listed, "unknown_colors", kinds, unknown_colors)  # type: ignore[assignment]
    if bands and images != DEFAULT.images:
        raise ConfigError(
            f"dataset.reader.images={images} and dataset.reader.bands={list(bands)}",
            "give one of them: bands stand in the place of images",
        )
    if images == DEFAULT.images:
        bands = bands or listed.bands
    several = find_bands(root, split, bands, faults) if bands else None
    if layout == DEFAULT and several is None:
        layout = _usual_or_found(root, split)
    found = find_files(root, layout.of_split(split), outside=outside, bands=several, faults=faults)
    space = _with_colors(listed, found, masks, unknown_colors)
    if found.labels is None:
        pairs = [Pair(name, path, None, space) for name, path in found.images.items()]
    else:
        say_shared_masks(found.images_at, found.images, found.labels)
        pairs = pair_by_name(found.images, found.labels, space, faults)
    if several is not None:
        pairs = with_bands(pairs, several)
    return SegmentationDataset(pairs, space, found.images_at, labels_description=found.labels_at)


def _stated(given: Layout, listed: ClassList) -> Layout:
    """Return a layout with what the class list states in the place of defaults."""
    changes = {
        name: listed.stated[name]
        for name in ("images", "labels", "label_ending", "split_list")
        if name in listed.stated and getattr(given, name) == getattr(DEFAULT, name)
    }
    return replace(given, **changes)


def _choice(listed: ClassList, name: str, choices: tuple[str, ...], usual: str) -> str:
    """Return what a class list states of a setting with choices.

    Raises:
        ConfigError: It is none of them.
    """
    value = listed.stated.get(name, usual)
    if value not in choices:
        raise ConfigError(
            f"the class list says {name}: {shown(value)}", f"use one of {', '.join(choices)}"
        )
    return value


def _usual_or_found(root: Path, split: str) -> Layout:
    """Return the default layout if it is there, else the only common one that fits.

    Raises:
        DataError: Several fit, or none.
    """
    usual = DEFAULT.of_split(split)
    if (root / usual.images).is_dir() and (root / usual.labels).is_dir():
        return DEFAULT
    if not root.is_dir():
        raise DataError(f"folder {root} does not exist", "check dataset.root and its layout")
    for group, layouts in enumerate(candidates(root, split)):
        fitting = [layout for layout in layouts if _fits(root, layout.of_split(split))]
        if len(fitting) == 1:
            say_found(root, fitting[0], divided=group == 0)
            return fitting[0]
        if fitting:
            raise no_layout(root, fitting, split)
        if (root / usual.images).is_dir():  # a split without labels
            return DEFAULT
    if (root / usual.images).parent.is_dir():  # of other splits
        return DEFAULT
    raise no_layout(root, [], split)


def _fits(root: Path, layout: Layout) -> bool:
    """Return whether a layout has pictures, each with a mask, and no other masks."""
    try:
        found = find_files(root, layout)
    except (DataError, ConfigError, OSError):
        return False
    if not found.images or found.labels is None or found.images.keys() != found.labels.keys():
        return False
    # Where suffixes alone tell masks from pictures, a PNG may as well be the same picture again.
    pairs = ((image, found.labels[name]) for name, image in found.images.items())
    return not has_wildcard(layout.images) or all(is_surely_a_mask(*pair) for pair in pairs)


def _with_colors(
    listed: ClassList, found: Found, masks: Masks, unknown: UnknownColors
) -> LabelSpace:
    """Return the label space, with a key of colours if masks are in colours.

    Raises:
        ConfigError: Masks in colours are asked for, and the class list has no colours.
    """
    if masks == "auto":
        first = next(iter((found.labels or {}).values()), None)
        in_colors = (
            first is not None
            and listed.has_colors
            and (first.is_file() and holds_colors(first, tiff=is_tiff(first)))
        )
    else:
        in_colors = masks == "colors"
    if not in_colors:
        return listed.label_space
    if not listed.has_colors:
        raise ConfigError(
            "masks are to be read by colours, and the class list gives none",
            "give each class its color: {name: road, color: [128, 64, 128]}",
        )
    return replace(listed.label_space, key=listed.color_key(unknown))


def camvid(
    root: str | Path, split: str, *, faults: list[DataError] | None = None
) -> SegmentationDataset:
    """Read a split of CamVid in SegNet's layout: train/ and trainannot/, val/ and valannot/.

    Args:
        root: The folder that holds these folders.
        split: train, val or test.
        faults: Collects files without a partner, see `gcseg.data.faults.raise_or_collect`.

    Raises:
        DataError: A folder is missing or empty, or an image has no label of its name.
    """
    if not (Path(root) / f"{split}annot").is_dir():
        raise DataError(
            f"CamVid's folder {Path(root) / f'{split}annot'} does not exist",
            "set dataset.root to the folder that holds train/, trainannot/, val/ and valannot/",
        )
    return folder(
        root, split, classes=CAMVID, images="{split}", labels="{split}annot", faults=faults
    )
