"""The folder that predictions or attention maps of many pictures go to, and what had none."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from gcseg.data.walk import files_below
from gcseg.errors import ConfigError, DataError, OutputError
from gcseg.system.files import output_error, remove_partials
from gcseg.system.text import say

_END = ".png"

SHEET = "overview.png"
"""The picture of the first few, next to the folders that have an output per picture."""


def written_folders(images: Path, folder: Path, parts: Sequence[str]) -> tuple[Path, ...]:
    """Folders in which pictures are outputs of such a command, and nothing that it should read.

    Args:
        images: The picture, or the folder of pictures, that is given.
        folder: Of all outputs.
        parts: Folders in it, with an output per picture each.

    Returns:
        The folder of all outputs; only the parts where the pictures lie in that folder themselves.

    Raises:
        ConfigError: The outputs would lie among the pictures or take their place.
    """
    given, output = (Path(os.path.realpath(path)) for path in (images, folder))
    if given == output:
        raise ConfigError(
            f"output={folder} is the folder of images={images}", "give output= another folder"
        )
    for part in (*parts, SHEET):
        if given.is_relative_to(output / part):
            raise ConfigError(
                f"images={images} would be overwritten, as this command writes {folder / part}",
                "give output= another folder",
            )
    return tuple(folder / part for part in parts) if given.is_relative_to(output) else (folder,)


def clear_partials(folder: Path, parts: Sequence[str]) -> None:
    """Remove what a killed command has half written there.

    Args:
        folder: Of all outputs.
        parts: Folders in it, with an output per picture each.

    Raises:
        OutputError: The folder can't be read or written.
    """
    try:
        remove_partials(folder)
        for part in parts:
            remove_partials(folder / part, below=True)
    except OSError as error:
        raise output_error(folder, error) from error


def say_what_is_older(folder: Path, parts: Sequence[str], names: Collection[str]) -> None:
    """Say how many outputs of an earlier command are there, which are of no picture of this one.

    Args:
        folder: Of all outputs.
        parts: Folders in it, with an output per picture each.
        names: Of the pictures that have their outputs from this command.

    Raises:
        OutputError: The folder can't be read.
    """
    new = {f"{name}{_END}" for name in names}
    try:
        for part in parts:
            there = files_below(folder / part) if (folder / part).is_dir() else []
            older = [path for path in there if path.suffix == _END and path.as_posix() not in new]
            if older:
                say(
                    f"{folder / part} also holds {len(older)} of an earlier command, such as "
                    f"{older[0]}: remove them, or give output= a folder for each set of pictures"
                )
    except OSError as error:
        raise _unreadable(folder, error) from error


def say_what_was_not_read(errors: Sequence[DataError], pictures: int) -> None:
    """List the pictures that could not be read, and leave with an error if there are any.

    Args:
        errors: Why, one for each.
        pictures: How many there are in all.

    Raises:
        DataError: There are some; of a single picture, its error.
    """
    if not errors:
        return
    if pictures == 1:
        raise errors[0]
    say(*errors, error=True)
    raise DataError(
        f"{len(errors)} of {pictures} pictures could not be read",
        "mend or remove what is listed above; all others are done",
    )


def _unreadable(folder: Path, error: OSError) -> OutputError:
    return OutputError(f"{folder} can't be read ({error.strerror})", "give output= another folder")
