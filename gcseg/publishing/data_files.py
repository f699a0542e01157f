"""Checksums of the pictures and labels of a split."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from gcseg.data.datasets import Pair, SegmentationDataset
from gcseg.data.label_spaces import LabelSpace
from gcseg.errors import DataError, WeightsError
from gcseg.system.files import sha256_of
from gcseg.system.text import counted, listed, shown, verb

_COLUMNS = ["name", "part", "file", "sha256"]

Key = tuple[str, str]
"""Name of a sample in its split, and the part that a file is: image, band 1, ..., or label."""


class DataFile(NamedTuple):
    """A file of a split.

    Args:
        file: Path relative to the dataset's root, or its name alone if it is elsewhere.
        sha256: SHA-256 of its content, in hexadecimal digits.
    """

    file: str
    sha256: str


def data_files(
    dataset: SegmentationDataset, root: str | Path, progress: Callable[[int, int], None]
) -> dict[Key, DataFile]:
    """Compute the checksums of all files of a split.

    Args:
        dataset: The split.
        root: Folder of the dataset.
        progress: Callback that gets the numbers of samples that are done and in all.

    Raises:
        DataError: A file can't be read.
    """
    found: dict[Key, DataFile] = {}
    base = Path(root).absolute()
    with ThreadPoolExecutor() as pool:  # hashing lets other threads run
        for number, files in enumerate(pool.map(lambda pair: _of_pair(pair, base), dataset.pairs)):
            found.update(files)
            progress(number + 1, len(dataset))
    return found


def _of_pair(pair: Pair, root: Path) -> dict[Key, DataFile]:
    parts = [("image", pair.image), *((f"band {n}", path) for n, path in enumerate(pair.bands, 1))]
    parts += [] if pair.label is None else [("label", pair.label)]
    found = {}
    for part, path in parts:
        place = path.absolute()
        inside = place.is_relative_to(root)
        relative = place.relative_to(root).as_posix() if inside else path.name
        try:
            found[pair.name, part] = DataFile(relative, sha256_of(path))
        except OSError as error:
            raise DataError(f"{path} can't be read ({error.strerror})", "restore it") from error
    return found


def meaning_of_labels(space: LabelSpace) -> str:
    """Return a SHA-256 of what the values and colours in a dataset's labels stand for.

    Args:
        space: Classes of the dataset.
    """
    key = space.key
    colors = [] if key is None else sorted(zip(key.colors, key.indices, strict=True))
    meaning = [list(space.names), sorted(space.values.items()), colors]
    return hashlib.sha256(json.dumps(meaning).encode()).hexdigest()


def as_table(files: Mapping[Key, DataFile]) -> str:
    """Write checksums as CSV."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    for (name, part), one in files.items():
        writer.writerow([name, part, one.file, one.sha256])
    return text.getvalue()


def of_table(text: str, source: Path) -> dict[Key, DataFile]:
    """Read checksums as `as_table` writes them.

    Raises:
        WeightsError: The text is something else.
    """
    found = {}
    for name, part, file, sha256 in rows_of(text, _COLUMNS, source):
        found[name, part] = DataFile(file, sha256)
    return found


def rows_of(text: str, columns: list[str], source: Path) -> Iterator[list[str]]:
    """Read the rows of a CSV table.

    Args:
        text: The table.
        columns: Names of its columns.
        source: Its file, for messages.

    Raises:
        WeightsError: It has other columns, or a row has another number of cells.
    """
    damaged = WeightsError(f"{source} is damaged", "download the folder again")
    rows = csv.reader(io.StringIO(text, newline=""))
    try:
        if next(rows, None) != columns:
            raise damaged
        for row in rows:
            if len(row) != len(columns):
                raise damaged
            yield row
    except csv.Error:
        raise damaged from None


def differences(
    here: Mapping[Key, DataFile], published: Mapping[Key, DataFile], first: int = 5
) -> list[str]:
    """Describe how the files of a split differ from the published ones, in a line for each kind.

    Args:
        here: Checksums here.
        published: Published checksums.
        first: Largest number of names in a line.

    Returns:
        The lines; empty if all files are equal.
    """
    lines = []
    for noun, is_part in (("picture", _is_picture), ("label", _is_label)):
        ours = {key for key in here if is_part(key)}
        theirs = {key for key in published if is_part(key)}
        changed = {key for key in ours & theirs if here[key].sha256 != published[key].sha256}
        for keys, one, several in (
            (changed, "differs", "differ"),
            (theirs - ours, "is missing here", "are missing here"),
            (ours - theirs, "is not among the published", "are not among the published"),
        ):
            names = sorted({name for name, _ in keys})
            if names:
                lines.append(
                    f"{counted(len(names), noun)} {verb(len(names), one, several)}: "
                    f"{listed(map(shown, names), most=first)}"
                )
    return lines


def _is_label(key: Key) -> bool:
    return key[1] == "label"


def _is_picture(key: Key) -> bool:
    return not _is_label(key)
