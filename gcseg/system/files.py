"""Write files whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import get_native_id
from typing import IO, Any

from gcseg.errors import OutputError

LONGEST_NAME = 255
"""Largest number of bytes in a file's name, in the file systems of Linux."""

_PROCESS = re.compile(r"\.(\d+)\.\d+\.partial$")


def at_home(path: str | Path) -> Path:
    """A path in which the user's home folder is in the place of a `~` that stands alone.

    `~name` is a file of that name: no other user's folder is looked up.

    Args:
        path: As `~/data`, or any other.
    """
    first, _, rest = str(path).partition("/")
    if first != "~":
        return Path(path)
    return Path(os.path.expanduser("~"), rest.lstrip("/"))  # noqa: PTH111  # which never fails


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Write a file under a temporary name, sync and rename it.

    An existing file stays until the end; a failure or a kill leaves it untouched.

    Raises:
        OutputError: The folder can't be written or the disk is full.
    """
    temporary = path.with_name(_temporary_name(path.name))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)  # left by a killed process with the same process id
        with temporary.open("xb") as file:  # follows no link that someone has left there
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise output_error(path, error) from error
    finally:
        with suppress(OSError):  # it is gone, or never existed: the path itself may be wrong
            temporary.unlink()


@contextmanager
def partial_folder(path: Path) -> Iterator[Path]:
    """Make a folder next to a path for what will become it; removed with its files at the end.

    Raises:
        OutputError: It can't be made.
    """
    folder = path.with_name(_temporary_name(path.name))
    shutil.rmtree(folder, ignore_errors=True)  # left by a killed process with the same process id
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise output_error(path, error) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def move_into_place(source: Path, target: Path) -> None:
    """Sync a file and rename it, in the place of an existing one.

    Raises:
        OSError: It can't be renamed.
    """
    with source.open("rb") as file:
        os.fsync(file.fileno())
    source.replace(target)


def _temporary_name(name: str) -> str:
    """Make a temporary name for a file that no other process or thread uses."""
    end = f".{os.getpid()}.{get_native_id()}.partial"
    start = os.fsencode(f".{name}")[: LONGEST_NAME - len(end)]
    return os.fsdecode(start) + end


def remove_partials(folder: Path, *, below: bool = False) -> None:
    """Remove partial files and folders from a folder, left when their process was killed.

    Args:
        folder: The folder, which need not exist.
        below: Whether to search subfolders, too.

    Raises:
        OSError: A file can't be removed.
    """
    for path in list(folder.rglob(".*.partial") if below else folder.glob(".*.partial")):
        process = _PROCESS.search(path.name)
        if process is None or Path(f"/proc/{process[1]}").exists():
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """Compute the hexadecimal SHA-256 digest of a file.

    Raises:
        OSError: The file can't be read, or is no regular file: a named pipe would have to be waited
            for, and a device may never end.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "no regular file", str(path))
    digest = hashlib.sha256()
    block = memoryview(bytearray(1 << 20))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(block):
            digest.update(block[:count])
    return digest.hexdigest()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes from changing a file between reading and writing it.

    Raises:
        OutputError: The file's folder can't be made or read.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)  # locked itself, so that no lock file remains
    except OSError as error:
        raise output_error(path, error) from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def output_error(path: Path, error: Exception) -> OutputError:
    """Make the error for a path that can't be written; an existing file is unchanged."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return OutputError(
        f"{path} can't be written ({reason})",
        "free space there, or choose a writable folder with run_root= or output=",
    )


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically.

    Raises:
        OutputError: The file can't be written.
    """
    with atomic_write(path) as file:
        file.write((json.dumps(content, indent=2) + "\n").encode())
