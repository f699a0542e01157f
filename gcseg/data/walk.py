"""List the files below a folder, each once, with links followed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def files_below(folder: Path) -> list[Path]:
    """Return the files below a folder by relative path, sorted, without hidden files.

    Links to folders are followed, except those to a folder that contains the link: such a loop
    adds no files.

    Raises:
        OSError: A folder can't be read.
    """
    return sorted(Path(name) for name in _below(folder, "", frozenset()))


def _below(folder: Path, name: str, above: frozenset[tuple[int, int]]) -> Iterator[str]:
    """Yield the relative paths of files below a folder.

    Args:
        folder: Folder where the search begins.
        name: Path of the current folder relative to `folder`, with a slash at its end.
        above: Device and inode of the folders that contain it.
    """
    here = (folder / name).stat()
    identity = here.st_dev, here.st_ino
    if identity in above:
        return
    with os.scandir(folder / name) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                yield from _below(folder, f"{name}{entry.name}/", above | {identity})
            else:  # also a broken link: reading it reports that
                yield f"{name}{entry.name}"


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
