"""Published checkpoints by name: their records, and their files, downloaded into a cache once."""

from __future__ import annotations

import difflib
import os
from pathlib import Path, PurePosixPath

from gcseg.errors import OutputError, WeightsError
from gcseg.system.download import download
from gcseg.system.files import at_home
from gcseg.zoo.hub import HUB, from_hub
from gcseg.zoo.published import RECORDS, Record

__all__ = ["Record", "by_file_name", "cache_folder", "find", "records", "resolve"]


def records() -> tuple[Record, ...]:
    """Return the records of all known published checkpoints, networks first."""
    return RECORDS


def find(name: str) -> Record:
    """Find a published checkpoint by its name, or by the part before a dot if that is unique.

    Raises:
        WeightsError: If there is none; the message suggests similar names.
    """
    found = [record for record in RECORDS if record.name == name]
    found = found or [record for record in RECORDS if record.name.startswith(f"{name}.")]
    if len(found) != 1:
        raise WeightsError(f"there is no published checkpoint {name}", _suggestion(name))
    return found[0]


def by_file_name(path: Path) -> Record | None:
    """Find the published checkpoint whose file has this name; None if there is none or several."""
    named = [record for record in RECORDS if PurePosixPath(record.url).name == path.name]
    return named[0] if len(named) == 1 else None


def resolve(name_or_path: str | Path) -> Path:
    """Return the path of a checkpoint: the given file, or by name from the cache or the web.

    Args:
        name_or_path: Path of a file, or name in `records()`.

    Raises:
        WeightsError: If it is neither.
        DownloadError: If it can't be fetched; the message gives its address and the path to put it.
        OutputError: If the cache can't be written.
    """
    path = at_home(name_or_path)
    if path.is_file():
        return path
    try:
        record = find(str(name_or_path))
    except WeightsError as error:
        state = "a folder" if path.is_dir() else "neither a file nor a published checkpoint"
        raise WeightsError(f"{name_or_path} is {state}", error.remedy) from None
    cached = _cached(record)
    if record.url.startswith(HUB) and not cached.exists():
        return from_hub(record.name, record.url, cached)
    try:
        download(record.url, cached, sha256=record.sha256)
    except OutputError as error:
        raise OutputError(error.cause, f"{error.remedy}; GCSEG_CACHE sets the folder") from error
    return cached


def cache_folder() -> Path:
    """Return the folder for downloads: `$GCSEG_CACHE`, or `gcseg` in the user's cache."""
    if own := os.environ.get("GCSEG_CACHE"):
        return at_home(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gcseg"


def _cached(record: Record) -> Path:
    name = PurePosixPath(record.url).name
    suffix = ".tar.gz" if name.endswith(".tar.gz") else PurePosixPath(name).suffix
    return cache_folder() / f"{record.name}{suffix}"


def _suggestion(name: str) -> str:
    names = [record.name for record in RECORDS]
    close = [full for full in names if full.startswith(f"{name}.") or full.split("/")[1] == name]
    close = close or difflib.get_close_matches(name, names, n=3)
    meant = f"did you mean {' or '.join(close)}? " if close else ""
    return f"{meant}python -m gcseg.weights list shows all names"
