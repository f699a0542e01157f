"""Annotated pictures as every reader returns them: shapes with labels, in the order of drawing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from gcseg.data.images import UInt8Array

IGNORE_LABEL = "__ignore__"
"""Label of regions that are neither trained on nor scored, as in LabelMe's own label lists."""

Color = tuple[int, int, int]
"""RGB, 0 to 255."""


@dataclass(frozen=True)
class Shape:
    """One labelled region of a picture.

    Args:
        label: Name of its class.
        where: Its place in the annotation file, for messages: "shape 3".
        draw: Function of the picture's height and width that returns its pixels, H x W uint8 of 0
            and 1.
        bounds: Left, top, right and bottom edge in pixels; None if it can't leave the picture.
    """

    label: str
    where: str
    draw: Callable[[int, int], UInt8Array]
    bounds: tuple[float, float, float, float] | None = None


@dataclass
class Content:
    """The annotations of one picture.

    Args:
        shapes: Its regions; where two overlap, the later one counts.
        lost: Number of annotations that are no regions, by a key of `tally.LOST`.
        colors: Pixels of colours that no class has, in masks of colours.
    """

    shapes: Sequence[Shape] = ()
    lost: Counter[str] = field(default_factory=Counter)
    colors: Counter[Color] = field(default_factory=Counter)


@dataclass(frozen=True)
class Drawing:
    """One picture with its annotations, which are read when they are wanted.

    Args:
        source: The annotation file, and the place in it where it holds several, for messages.
        name: Name of the picture's file, relative to the folder of all.
        split: train, val or test.
        picture: The picture's file, or a function that returns the content of one.
        read: Function that reads the annotations.
        size: Height and width that the annotations were made for; None if they don't say it.
    """

    source: str
    name: PurePosixPath
    split: str
    picture: Path | Callable[[], bytes]
    read: Callable[[], Content]
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Source:
    """All annotated pictures of an export.

    Args:
        drawings: The pictures.
        labels: Labels with their colours, in the order of the classes.
        notes: Lines on what was guessed or left out.
        other: Files of pictures that are annotations, such as masks.
    """

    drawings: Sequence[Drawing]
    labels: Mapping[str, Color | None]
    notes: Sequence[str] = ()
    other: Sequence[Path] = ()


_SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}


def split_named(word: str) -> str | None:
    """Return the split that a word stands for: val for "Validation"; None if it is no split's."""
    return next((split for split, words in _SPLITS.items() if word.lower() in words), None)


def split_of(path: PurePosixPath) -> str:
    """Return the split that a folder of a path is named after; train if none is."""
    found = (split_named(part) for part in path.parts[:-1])
    return next((split for split in found if split is not None), "train")
