"""One training at a time in a run folder."""

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
"""To take a lock that another process holds."""

_LONGEST_HOLDER = 1000
"""Bytes that say who holds a lock."""

_held: set[int] = set()
"""Descriptors of the locks that this process holds."""


@contextmanager
def hold(
    folder: Path,
    *,
    wait: bool = False,
    remedy: str = "wait for its end, or train in a folder of its own with fresh=true",
) -> Iterator[None]:
    """Keep other trainings out of a run folder, as long as this process lives at most.

    Only the first process of a training takes the lock; the others share what it is for.

    Args:
        folder: The run folder; made if it is missing, and then removed if nothing comes into it.
        wait: Wait for another training to leave the folder, and say so.
        remedy: What to do if another training holds it, where this one does not wait.

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
            path.unlink()  # while it is locked: whoever opened it meanwhile sees that it is gone
        _held.discard(lock)
        os.close(lock)
        with suppress(OSError):  # which are not empty
            for new in made:
                new.rmdir()


def remove_leftovers(folder: RunFolder) -> None:
    """Remove what killed processes have half written; only for who holds the folder.

    Files below other folders, such as predictions, may be another command's and stay.

    Raises:
        OutputError: The folder can't be read or written.
    """
    if not is_first_process():
        return
    try:
        for path in folder.checkpoints.glob(".*.partial"):
            path.unlink(missing_ok=True)
        with locked(folder.results):  # which evaluations write too, one at a time
            for path in (*folder.path.glob(".*.partial"), *folder.confusion.glob(".*.partial")):
                path.unlink(missing_ok=True)
    except OSError as error:
        raise output_error(folder.path, error) from error


def _take_in_turn(path: Path) -> int:
    """Lock a file as soon as nobody else does, and write into it by whom.

    Raises:
        OSError: It can't be written or locked.
    """
    told = ""
    while True:
        try:
            return _take(path)
        except BlockingIOError:
            holder = _holder(path)
            if holder != told:
                announce(f"{path.parent} is in use by {holder}: waiting for its end")
                told = holder
            time.sleep(SECONDS_BETWEEN_TRIES)


def _take(path: Path) -> int:
    """Lock a file and write into it by whom.

    Raises:
        BlockingIOError: Another process holds it.
        OSError: It can't be written or locked.
    """
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        # No link, which would have another file emptied and written.
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
    """Who holds a lock, in words."""
    with suppress(OSError, RecordError):
        return read_text(path, _LONGEST_HOLDER, errors="replace") or "another process"
    return "another process"


def _leave_to_parent() -> None:
    """Close the locks in a forked process, as a loader's, which may outlive a killed training."""
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_leave_to_parent)
