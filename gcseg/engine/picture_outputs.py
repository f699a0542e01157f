"""The output folder of predictions or attention maps, and the pictures without outputs."""

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
"""File of the sheet of the first few pictures, next to the folders with a file per picture."""


def written_folders(
    images: Path, folder: Path, parts: Sequence[str], setting: str = "images"
) -> tuple[Path, ...]:
    """Find the folders in which pictures are outputs of such a command, and not its inputs.

    Args:
        images: The given picture or folder of pictures.
        folder: Folder of all outputs.
        parts: Names of its subfolders with one output per picture.
        setting: Setting that names the pictures, for messages.

    Returns:
        The folder of all outputs, or only its subfolders if it directly contains the inputs.

    Raises:
        ConfigError: The outputs would lie among the pictures or take their place.
    """
    given, output = (Path(os.path.realpath(path)) for path in (images, folder))
    if given == output:
        raise ConfigError(
            f"output={folder} is the folder of {setting}={images}", "give output= another folder"
        )
    for part in (*parts, SHEET):
        if given.is_relative_to(output / part):
            raise ConfigError(
                f"{setting}={images} would be overwritten, as this command writes {folder / part}",
                "give output= another folder",
            )
    return tuple(folder / part for part in parts) if given.is_relative_to(output) else (folder,)


def clear_partials(folder: Path, parts: Sequence[str]) -> None:
    """Remove partial files left by a killed command.

    Args:
        folder: Folder of all outputs.
        parts: Names of its subfolders with one output per picture.

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
    """Say how many outputs of earlier commands belong to none of this command's pictures.

    Args:
        folder: Folder of all outputs.
        parts: Names of its subfolders with one output per picture.
        names: Names of the pictures that have outputs from this command.

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


def say_what_was_not_read(
    errors: Sequence[DataError], pictures: int, noun: str = "pictures"
) -> None:
    """List the pictures that could not be read, and raise an error if there are any.

    Args:
        errors: Errors of the pictures, one for each.
        pictures: Number of pictures in all.
        noun: Noun for what was to be read, in the plural.

    Raises:
        DataError: Some pictures could not be read; of a single picture, its error.
    """
    if not errors:
        return
    if pictures == 1:
        raise errors[0]
    say(*errors, error=True)
    raise DataError(
        f"{len(errors)} of {pictures} {noun} could not be read",
        "fix or remove the files listed above; all others are done",
    )


def _unreadable(folder: Path, error: OSError) -> OutputError:
    return OutputError(f"{folder} can't be read ({error.strerror})", "give output= another folder")
