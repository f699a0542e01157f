"""Layouts of datasets: find the one folder of a source that has a layout, and check image pairs."""

from __future__ import annotations

import glob
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from gcseg.data.prepare.archives import Entry, Place
from gcseg.errors import DataError


class Part(NamedTuple):
    """Role of a file in a dataset.

    Args:
        split: Split of the file.
        kind: Kind of the file: image or label.
        name: Name that an image and its label share.
    """

    split: str
    kind: str
    name: str


@dataclass(frozen=True)
class Layout:
    """Arrangement below a folder of a dataset, or of the part in one of its archives.

    Args:
        name: Name of the layout in messages.
        place: Maps a file's path to the end of it that lies below that folder; None if the file has
            none of the dataset's names.
        folders: Folders below it, each with files; if one is missing, there is no dataset.
        part: Maps such an end to the file's role; None for lists and labels that are not read.
        all_labelled: Whether each image must have a label, and not only each label an image.
    """

    name: str
    place: Place
    folders: Sequence[str]
    part: Callable[[PurePosixPath], Part | None]
    all_labelled: bool = True


def at_one_place(
    source: Path, entries: Iterable[Entry], layout: Layout, target: Path
) -> list[Entry]:
    """Return the files of a source below the one folder with a layout; none if there is none.

    Raises:
        DataError: There are several such folders.
    """
    files: dict[PurePosixPath, list[Entry]] = {}
    held: dict[PurePosixPath, set[PurePosixPath]] = {}
    for entry in entries:
        below = layout.place(entry.path)
        if below is not None:
            base = PurePosixPath(*entry.path.parts[: -len(below.parts)])
            files.setdefault(base, []).append(entry)
            held.setdefault(base, set()).update(below.parents)
    needed = {PurePosixPath(folder) for folder in layout.folders}
    bases = [base for base, folders in held.items() if needed <= folders]
    only = the_one(source, bases, layout.name, target)
    return [] if only is None else files[only]


def the_one(
    source: Path, bases: Iterable[PurePosixPath], name: str, target: Path
) -> PurePosixPath | None:
    """Return the only one of some folders in a source, or None if there is none.

    A folder that is reached in two ways, through links, counts once. The target counts only if
    there is no other.

    Args:
        source: Path of the archive or folder.
        bases: Candidate folders in it.
        name: Description of their content, for messages.
        target: Folder to which files are unpacked.

    Raises:
        DataError: There are several such folders.
    """
    found = {(source / base).resolve(): base for base in bases}
    if len(found) > 1:
        found.pop(target.resolve(), None)
    if len(found) > 1:
        one, other, *_ = sorted(found.values())
        raise DataError(
            f"{source} holds {name} in {len(found)} places, {source / one} and {source / other} "
            "are two of them",
            "give the right one with source="
            if source.is_dir()
            else "unpack it and give the right folder with source=",
        )
    return next(iter(found.values()), None)


def check_pairs(
    target: Path,
    entries: Iterable[Entry],
    layouts: Sequence[Layout],
    done: Collection[str] = (),
) -> None:
    """Check, before anything is written, that each image and label has a partner of its name.

    A split with only images or only labels passes, as it may get the others later.

    Args:
        target: Folder of the dataset; files in it count too.
        entries: Entries that will be unpacked to it.
        layouts: Layouts of the dataset.
        done: Splits that need no check.

    Raises:
        DataError: An image or label has no partner.
    """
    names: dict[tuple[str, str], set[str]] = {}
    ends = [_part(entry.path, layouts) for entry in entries]
    if not ends:
        return
    for part in [*ends, *_parts_in(target, layouts)]:
        if part is not None and part.split not in done:
            names.setdefault((part.split, part.kind), set()).add(part.name)
    all_labelled = all(layout.all_labelled for layout in layouts)
    for split in dict.fromkeys(split for split, _ in names):
        images, labels = (names.get((split, kind), set()) for kind in ("image", "label"))
        if not images or not labels:
            continue
        for kind, alone, other in (
            ("label", labels - images, "image"),
            ("image", images - labels if all_labelled else set(), "label"),
        ):
            if alone:
                raise DataError(
                    f"{kind} {min(alone)} (and {len(alone) - 1} more) of {split} would have no "
                    f"{other} in {target}, nothing was unpacked",
                    "give the whole dataset with source=, and remove the files of other datasets "
                    "from that folder",
                )


def split_of(path: PurePosixPath, layouts: Sequence[Layout]) -> str | None:
    """Return the split that a file of a source belongs to, if any."""
    part = _part(path, layouts)
    return None if part is None else part.split


def _part(path: PurePosixPath, layouts: Sequence[Layout]) -> Part | None:
    for layout in layouts:
        below = layout.place(path)
        if below is not None:
            return layout.part(below)
    return None


def _parts_in(target: Path, layouts: Sequence[Layout]) -> Iterator[Part | None]:
    # Unlike Path.rglob, glob follows links to folders.
    for name in glob.glob("**", root_dir=target, recursive=True):  # noqa: PTH207
        path = PurePosixPath(name)
        if any(layout.place(path) == path for layout in layouts):
            yield _part(path, layouts)
