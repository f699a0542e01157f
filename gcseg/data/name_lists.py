"""Lists of a split's pictures, one per line, as in PASCAL VOC."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from gcseg.data.faults import FileError, raise_or_collect
from gcseg.errors import DataError
from gcseg.system.records import RecordError, read_text
from gcseg.system.text import shown

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class Listed(NamedTuple):
    """An entry of a list.

    Args:
        name: Name of the picture, without folder and suffix.
        line: Line number in the list, from 1.
    """

    name: str
    line: int


def read_names(listing: Path, images: Path, faults: list[DataError] | None = None) -> list[Listed]:
    """Read the names of pictures from a list.

    A line is a name, which may have spaces, dots or a suffix, or the paths of an image and its
    label, as `/JPEGImages/a.jpg /SegmentationClassAug/a.png`. Empty lines are skipped.

    Args:
        listing: The list, in UTF-8, or in UTF-16 with a byte order mark.
        images: The folder of the pictures, `<name>.jpg`.
        faults: Collects lines that are wrong, see `gcseg.data.faults.raise_or_collect`.

    Raises:
        DataError: The list can't be read, leads out of the dataset, or names a picture twice.
    """
    found: dict[str, Listed] = {}
    for number, line in enumerate(list_text(listing).splitlines(), 1):
        if not (entry := line.strip()):
            continue
        if (name := _name(entry, images)) is None:
            cause = f"line {number} of {listing}, {shown(entry)}, points outside {images}"
            _add(cause, "write the picture's name alone", listing, faults)
        elif name in found:
            cause = f"{listing} lists {shown(name)} twice, in lines {found[name].line} and {number}"
            _add(cause, "take one of them off the list", listing, faults)
        else:
            found[name] = Listed(name, number)
    return list(found.values())


def _add(cause: str, remedy: str, listing: Path, faults: list[DataError] | None) -> None:
    raise_or_collect(FileError(cause, remedy, files=[listing]), faults)


def list_text(listing: Path) -> str:
    """Return the text of a list.

    Raises:
        DataError: The list is not text.
    """
    try:
        content = read_text(listing, errors="surrogateescape")
        raw = content.encode(errors="surrogateescape")
        return raw.decode("utf-16") if raw.startswith(_UTF_16) else raw.decode()
    except UnicodeDecodeError:
        raise DataError(f"list {listing} is not UTF-8", "save it as UTF-8") from None
    except FileNotFoundError:
        raise DataError(f"list {listing} does not exist", "check dataset.root") from None
    except RecordError as error:
        raise DataError(f"list {listing} can't be read: {error}", "give a text file") from None


def _name(entry: str, images: Path) -> str | None:
    """Return the picture that a line names; None where it leads out of the folder of pictures."""
    first = entry.split()[0]
    for text in dict.fromkeys((entry, first)):  # a name with spaces, or columns
        path = PurePosixPath(text)
        for name in (path.name, path.stem):  # a name with a dot, or a suffix
            # Of os.path, which takes names of any length.
            if _is_below(path, images) and os.path.isfile(images / f"{name}.jpg"):  # noqa: PTH113
                return name
    path = PurePosixPath(first)
    if not _is_below(path, images):
        return None
    return path.stem if path.suffix.lower() in (".jpg", ".png") else path.name


def _is_below(path: PurePosixPath, images: Path) -> bool:
    """Return whether a path is a name alone, or in the folder of pictures: /JPEGImages/a.jpg."""
    return path.parent.name in ("", images.name) and ".." not in path.parts
