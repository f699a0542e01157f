"""Find links in a folder that lead out of it, as an unpacked archive may hold them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from gcseg.errors import OutputError
from gcseg.system.files import output_error


def leads_out(path: Path, folder: Path) -> bool:
    """Return whether a path leads out of its folder through a link.

    The path may be a link or below one. The folder itself may be a link, and then stands for its
    target.

    Args:
        path: Path below the folder by name; it need not exist.
        folder: The folder.
    """
    try:
        return not path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # circular links
        return True


def refuse_links(folder: Path, names: Sequence[str] | None = None) -> None:
    """Check that no link leads out of a folder that is to be written to and read from.

    Args:
        folder: The folder, which need not exist.
        names: Names in the folder to check, with everything below; all of them if None.

    Raises:
        OutputError: A link leads out of the folder, or the folder can't be read.
    """
    waiting = [folder]
    if names is not None:
        waiting = [folder / name for name in names]
        for path in waiting:
            _refuse(path, folder)
    while waiting:
        path = waiting.pop()
        try:
            with suppress(FileNotFoundError, NotADirectoryError), os.scandir(path) as entries:
                for entry in entries:
                    if entry.is_symlink():
                        _refuse(Path(entry.path), folder)
                    elif entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
        except OSError as error:
            raise output_error(path, error) from error


def _refuse(path: Path, folder: Path) -> None:
    if path.is_symlink() and leads_out(path, folder):
        raise OutputError(
            f"{path} is a link to a place outside {folder}",
            "remove it, or replace it by the file that it points to",
        )
