"""Write a folder whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gcseg.errors import OutputError
from gcseg.system.files import output_error

_PARTIAL = re.compile(r"\.(\d+)\.partial-folder$")


_LONGEST_NAME = 255
"""Most bytes of a file's name."""


def check_new(folder: Path) -> None:
    """Check that a folder does not exist yet, or is empty, and that it can be made.

    Raises:
        OutputError: It has files, is not a folder, or can't be made.
    """
    if folder.name in ("", ".."):
        raise OutputError(
            f"{folder} has no name to be written under", "give output= the name of a new folder"
        )
    names = (_temporary(folder).name, *folder.parts)
    if any(len(os.fsencode(name)) > _LONGEST_NAME for name in names):
        raise OutputError(f"{folder} has too long a name", "give a shorter output=")
    try:
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise OutputError(f"{folder} exists and is not a folder", "give another output=")
        if folder.is_dir() and any(folder.iterdir()):
            raise OutputError(f"{folder} exists", "remove it, or give another output=")
        parent = next(place for place in folder.absolute().parents if os.path.lexists(place))
        if not parent.is_dir():
            raise OutputError(f"{folder}: {parent} is not a folder", "give another output=")
        if not os.access(parent, os.W_OK | os.X_OK):
            raise OutputError(f"{folder}: {parent} is not writable", "give another output=")
    except OSError as error:
        raise output_error(folder, error) from error


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Make a folder under a temporary name, sync and rename it.

    A failure or a kill leaves no folder of that name. What a kill leaves under the temporary name
    is removed by the next call.

    Args:
        folder: The folder, which does not exist or is empty.

    Raises:
        OutputError: It can't be written.
    """
    temporary = _temporary(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_left(folder)
        temporary.mkdir()
        yield temporary
        check_new(folder)
        _sync(temporary)
        temporary.rename(folder)
        _sync_folder(folder.parent)
    except OSError as error:
        raise output_error(folder, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _temporary(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.{os.getpid()}.partial-folder")


def _remove_left(folder: Path) -> None:
    """Remove what killed processes have left for this folder."""
    for path in folder.parent.iterdir():
        found = _PARTIAL.search(path.name)
        if found is None or path.name != f".{folder.name}{found[0]}" or path.is_symlink():
            continue
        if int(found[1]) == os.getpid() or not Path(f"/proc/{found[1]}").exists():
            shutil.rmtree(path, ignore_errors=True)


def _sync(folder: Path) -> None:
    for place, _, names in os.walk(folder):
        for name in names:
            with Path(place, name).open("rb") as file:
                os.fsync(file.fileno())
        _sync_folder(Path(place))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
