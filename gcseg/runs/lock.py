"""Locks that allow one training at a time in a run folder."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gcseg.errors import OutputError
from gcseg.system.files import locked, output_error
from gcseg.system.launch import is_first_process
from gcseg.system.records import RecordError, read_text
from gcseg.system.terminal import announce

if TYPE_CHECKING:
    from gcseg.runs.folder import RunFolder

SECONDS_BETWEEN_TRIES = 2.0
"""Seconds between two tries to take a lock that another process holds."""

_LONGEST_HOLDER = 1000
"""Most bytes read from a lock file, which names its holder."""

_held: set[int] = set()
"""File descriptors of the locks that this process holds."""


@contextmanager
def hold(
    folder: Path,
    *,
    wait: bool = False,
    remedy: str = "wait until it ends, or train in a new folder with fresh=true",
) -> Iterator[None]:
    """Keep other trainings out of a run folder, at most until this process ends.

    Only the first process of a training takes the lock, on behalf of the others.

    Args:
        folder: The run folder; created if it is missing, and then removed if it stays empty.
        wait: Whether to wait for another training to release the folder, and say so.
        remedy: Advice in the error if another training holds the folder and `wait` is not set.

    Raises:
        OutputError: Another training holds it, or the folder can't be written.
    """
    if not is_first_process():
        yield
        return
    path = folder / ".lock"
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        lock = _take_in_turn(path) if wait else _take(path)
    except BlockingIOError:
        raise OutputError(f"{folder} is in use by {_holder(path)}", remedy) from None
    except OSError as error:
        raise output_error(path, error) from error
    _held.add(lock)
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()  # while locked: a process that opened it meanwhile sees that it is gone
        _held.discard(lock)
        os.close(lock)
        with suppress(OSError):  # folders that are not empty
            for new in made:
                new.rmdir()


def remove_leftovers(folder: RunFolder) -> None:
    """Remove half-written files of killed processes; the caller must hold the folder.

    Files in other subfolders, such as predictions, may belong to another command and stay.

    Raises:
        OutputError: The folder can't be read or written.
    """
    if not is_first_process():
        return
    try:
        for path in folder.checkpoints.glob(".*.partial"):
            path.unlink(missing_ok=True)
        with locked(folder.results):  # evaluations write it too, one at a time
            for path in (*folder.path.glob(".*.partial"), *folder.confusion.glob(".*.partial")):
                path.unlink(missing_ok=True)
    except OSError as error:
        raise output_error(folder.path, error) from error


def _take_in_turn(path: Path) -> int:
    """Wait until a file can be locked, lock it and write the holder into it.

    Raises:
        OSError: The file can't be written or locked.
    """
    told = ""
    while True:
        try:
            return _take(path)
        except BlockingIOError:
            holder = _holder(path)
            if holder != told:
                announce(f"{path.parent} is in use by {holder}: waiting until it ends")
                told = holder
            time.sleep(SECONDS_BETWEEN_TRIES)


def _take(path: Path) -> int:
    """Lock a file and write the holder into it.

    Raises:
        BlockingIOError: Another process holds it.
        OSError: The file can't be written or locked.
    """
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Links are not followed, so that no other file is emptied and written.
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(lock), path.stat()):
                    os.ftruncate(lock, 0)
                    os.write(lock, f"process {os.getpid()} on {socket.gethostname()}".encode())
                    return lock
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)  # its holder has removed the file in the meantime


def _holder(path: Path) -> str:
    """Return the holder of a lock, in words."""
    with suppress(OSError, RecordError):
        return read_text(path, _LONGEST_HOLDER, errors="replace") or "another process"
    return "another process"


def _leave_to_parent() -> None:
    """Close the locks in a forked process, such as a loader that outlives a killed training."""
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_leave_to_parent)
