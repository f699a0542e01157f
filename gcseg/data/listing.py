"""Lists of a split's pictures and masks: a picture, or a picture and its mask, in each line."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from gcseg.data.faults import FileError, raise_or_collect
from gcseg.data.name_lists import list_text
from gcseg.data.reading import IMAGE_SUFFIXES, LABEL_SUFFIXES
from gcseg.errors import DataError
from gcseg.system.text import shown

_OF_IMAGES = ("image", "images", "img", "picture", "file", "filename", "file_name", "path",
              "image_path")  # fmt: skip
_OF_LABELS = ("label", "labels", "mask", "masks", "annotation", "ann", "segmentation",
              "label_path", "mask_path")  # fmt: skip
_MOST_WORDS = 100  # of a line, which each of them could divide
_OUTSIDE = "list files below dataset.root, or set dataset.reader.outside=true if the list is yours"


class Line(NamedTuple):
    """A line of a list.

    Args:
        number: Its number, from 1.
        image: Path of the picture.
        label: Path of the mask; None where the line has none.
    """

    number: int
    image: Path
    label: Path | None


class _Place(NamedTuple):
    """A place in which the names of a list are looked up.

    Args:
        listing: The list.
        root: Folder of the dataset.
        outside: Whether files outside the root are allowed.
    """

    listing: Path
    root: Path
    outside: bool


def read_list(
    listing: Path, root: Path, *, outside: bool = False, faults: list[DataError] | None = None
) -> list[Line]:
    """Read a list of pictures, or of pictures and masks.

    Columns are separated by a tab, in .csv files by a comma or semicolon, or else by a space. Names
    with spaces are found by looking which parts of a line are files. Paths are relative to the
    root, or to the list's folder, and may lack the suffix. A CSV may have a header.

    Args:
        listing: The list.
        root: Folder of the dataset.
        outside: Whether files outside the root are allowed.
        faults: Collects wrong lines, see `gcseg.data.faults.raise_or_collect`.

    Raises:
        DataError: The list can't be read, or is empty; a line names a missing file, one outside the
            root, or a picture that was named before; some lines have masks and others have none.
    """
    place = _Place(listing, root, outside)
    found: dict[Path, Line] = {}
    for number, columns in _rows(place):
        try:
            image, label = _files(place, number, columns)
        except FileError as error:
            raise_or_collect(error, faults)
            continue
        if image in found:
            cause = (
                f"{listing} lists {shown(str(image))} twice, in lines {found[image].number} and "
                f"{number}"
            )
            twice = FileError(cause, "take one of them off the list", files=[listing])
            raise_or_collect(twice, faults)
            continue
        found[image] = Line(number, image, label)
    lines = list(found.values())
    if not lines and not faults:
        raise DataError(f"list {listing} names no pictures", "write one in each line")
    without = [line.number for line in lines if line.label is None]
    if without and len(without) < len(lines):
        raise DataError(
            f"line {without[0]} of {listing} has no mask, and other lines have one",
            "write a picture and its mask in each line, or the picture alone",
        )
    return lines


def read_stems(listing: Path) -> list[tuple[int, str]]:
    """Read a list of names: each line that is not empty, with its number.

    Raises:
        DataError: The list can't be read.
    """
    lines = enumerate(list_text(listing).splitlines(), 1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def _rows(place: _Place) -> Iterator[tuple[int, Sequence[str]]]:
    """Yield each line's number with its columns, or with the whole line if spaces separate them."""
    if place.listing.suffix.lower() not in (".csv", ".tsv"):
        for number, line in read_stems(place.listing):
            yield number, [part.strip() for part in line.split("\t") if part.strip()]
        return
    text = list_text(place.listing)
    first = text.lstrip().partition("\n")[0]
    delimiter = next((one for one in "\t;," if one in first), ",")
    rows = csv.reader(text.splitlines(), delimiter=delimiter)
    picked: tuple[int, ...] | None = None
    try:
        for row in rows:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if picked is None:
                picked, is_header = _columns(place, cells)
                if is_header:
                    continue
            chosen = [cells[at] for at in picked if at < len(cells)]
            yield rows.line_num, [cell for cell in chosen if cell]
    except csv.Error as error:
        raise DataError(
            f"list {place.listing} can't be read: {error}", "save it as CSV with two columns"
        ) from None


def _columns(place: _Place, first: Sequence[str]) -> tuple[tuple[int, ...], bool]:
    """Return which columns of a CSV are picture and mask, and whether the first row is a header.

    Raises:
        DataError: There are more than two columns, and no header tells which to take.
    """
    names = [cell.lower() for cell in first]
    pictures = [at for at, name in enumerate(names) if name in _OF_IMAGES]
    masks = [at for at, name in enumerate(names) if name in _OF_LABELS]
    if len(pictures) == 1 and len(masks) <= 1 and _find(place, first[0], IMAGE_SUFFIXES) is None:
        return (*pictures, *masks), True
    if len(first) > 2:
        raise DataError(
            f"list {place.listing} has {len(first)} columns",
            "leave picture and mask, or name these two image and label in its first row",
        )
    # A first row of words, not of files.
    is_header = _find(place, first[0], IMAGE_SUFFIXES) is None and not any(
        "." in cell or "/" in cell for cell in first
    )
    return tuple(range(len(first))), is_header


def _files(place: _Place, number: int, columns: Sequence[str]) -> tuple[Path, Path | None]:
    """Return the picture and the mask that a line names.

    Raises:
        FileError: A file is missing, or not below the root.
    """
    if len(columns) == 1:
        return _in_one_text(place, number, columns[0])
    image = _existing(place, number, columns[0], "image")
    return image, _existing(place, number, columns[1], "label")


def _in_one_text(place: _Place, number: int, text: str) -> tuple[Path, Path | None]:
    """Return the files of a line whose columns, if there are two, are separated by a space.

    Raises:
        FileError: No part of the line is a file, or it can be divided in two ways.
    """
    words = text.split(" ", _MOST_WORDS)
    if len(words) > _MOST_WORDS:
        raise FileError(
            f"line {number} of {place.listing}, {shown(text)}, has more than {_MOST_WORDS} words",
            "write one picture in each line, or a picture and its mask, separated by a tab",
            files=[place.listing],
        )
    ways = list(
        dict.fromkeys(
            (" ".join(words[:at]).strip(), " ".join(words[at:]).strip())
            for at in range(1, len(words))
        )
    )  # fmt: skip
    fitting = [
        (one, other)
        for one, other in ways
        if one
        and other
        and _find(place, one, IMAGE_SUFFIXES) is not None
        and _find(place, other, LABEL_SUFFIXES) is not None
    ]
    if len(fitting) > 1:
        raise FileError(
            f"line {number} of {place.listing}, {shown(text)}, can be divided in several ways",
            "separate picture and mask by a tab",
            files=[place.listing],
        )
    if not fitting and _find(place, text, IMAGE_SUFFIXES) is not None:
        return _existing(place, number, text, "image"), None
    if not fitting and len(words) > 1:  # name the file that is missing
        halves = next((way for way in ways if _find(place, way[0], IMAGE_SUFFIXES)), ways[0])
        fitting = [halves] if len(words) == 2 or _find(place, halves[0], IMAGE_SUFFIXES) else []
    if not fitting:
        return _existing(place, number, text, "image"), None
    (one, other), *_ = fitting
    return _existing(place, number, one, "image"), _existing(place, number, other, "label")


def _existing(place: _Place, number: int, text: str, kind: str) -> Path:
    """Return the file that a text names.

    Raises:
        FileError: It does not exist, or lies outside the root.
    """
    found = _find(place, text, IMAGE_SUFFIXES if kind == "image" else LABEL_SUFFIXES)
    where = f"line {number} of {place.listing} names {shown(text)}"
    if found is None:
        raise FileError(
            f"{where}, and there is no such {kind} below {place.root}",
            "correct the list, or set dataset.root to the folder that its paths begin in",
            kind=f"missing {kind}",
            files=[place.listing],
        )
    if not place.outside and not _is_below(found, place.root):
        raise FileError(f"{where}, which is outside {place.root}", _OUTSIDE, files=[place.listing])
    return found


def _find(place: _Place, text: str, suffixes: Sequence[str]) -> Path | None:
    """Return the file that a text of a list names, with or without its suffix; None without one.

    A path that begins with a slash may be meant relative to the root, as in lists of PASCAL VOC.
    """
    if not text or "\0" in text:
        return None
    bases = [place.root / text.lstrip("/"), place.listing.parent / text.lstrip("/")]
    if text.startswith("/"):
        bases.insert(0, Path(text))
    for base in bases:
        for path in (base, *(Path(f"{base}{suffix}") for suffix in suffixes)):
            # Of os.path, which takes names of any length. No link is followed, as links in the
            # dataset's folder may lead anywhere, and .. after one would lead out of it.
            plain = Path(os.path.normpath(path))
            if os.path.isfile(plain):  # noqa: PTH113
                return plain
    return None


def _is_below(path: Path, root: Path) -> bool:
    return Path(os.path.abspath(path)).is_relative_to(os.path.abspath(root))  # noqa: PTH100
