"""The files below a folder, each once, whatever links there are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def files_below(folder: Path) -> list[Path]:
    """Files below a folder by their path relative to it, sorted; hidden files are left out.

    Links to folders are followed, but for one to a folder that it lies in: such a loop has no files
    that were not seen.

    Raises:
        OSError: A folder can't be read.
    """
    return sorted(Path(name) for name in _below(folder, "", frozenset()))


def _below(folder: Path, name: str, above: frozenset[tuple[int, int]]) -> Iterator[str]:
    """Names of files with the name of their folder before them.

    Args:
        folder: Where it begins.
        name: Of the folder that is listed now, relative to that; with a slash at its end.
        above: Device and inode of the folders that it lies in.
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
            else:  # a link to what does not exist, too: reading it says so
                yield f"{name}{entry.name}"


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
