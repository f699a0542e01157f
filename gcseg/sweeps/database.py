"""The SQLite file of a sweep, opened only if it holds a ledger's tables and nothing else."""

from __future__ import annotations

import os
import sqlite3
import stat
import struct
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

from gcseg.system.records import LARGEST_TEXT, RecordError

SECONDS_TO_WAIT = 60.0
"""Seconds to wait for another process's transaction, which takes milliseconds; network file systems
are slow."""
TABLES = """
CREATE TABLE IF NOT EXISTS jobs (
    key TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE, overrides TEXT NOT NULL,
    training TEXT NOT NULL, settings TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'pending',
    run TEXT, evaluations TEXT, error TEXT, log TEXT, seconds REAL,
    owner TEXT, alive REAL, handed_over INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS reports (
    key TEXT NOT NULL, step INTEGER NOT NULL, miou REAL NOT NULL, PRIMARY KEY (key, step)
);
"""
"""Definitions of a ledger's tables."""

_LIMIT_LENGTH = 0
"""SQLITE_LIMIT_LENGTH of sqlite3.h, the limit on bytes in a row."""
_JOURNAL = bytes.fromhex("d9d505f920a163d7")
"""First bytes of a journal. From byte 16 on it has three 32-bit numbers: the file's pages before
the transaction, the bytes of a sector and the bytes of a page (0 for the file's page size). Source:
`readJournalHdr` of pager.c of SQLite."""
_LARGEST_PAGE = 65536
"""Most bytes of a page of an SQLite file."""
_JOURNAL_OF_SEVERAL = _JOURNAL
"""Last bytes of a journal of several databases. Source: `readSuperJournal` of pager.c of SQLite."""
_LEAST_STEPS = 2_000_000
_STEPS_PER_BYTE = 4
"""Most instructions of SQLite's virtual machine in one connection, per byte of the file: a row of a
ledger has 200 bytes or more and takes 20 instructions."""
_STEPS_AT_ONCE = 1000
_LEAST_BYTES_OF_ROW = 15
"""Bytes of a ledger's row without its texts, at least."""


@contextmanager
def connected(path: Path, mode: str = "rwc") -> Iterator[sqlite3.Connection]:
    """Connect to a file, with a limit on the work of all statements.

    In a maliciously made file, pages may refer to one another so that a few thousand bytes stand
    for billions of rows.

    Args:
        path: Path of the file.
        mode: Open mode of SQLite: `ro`, `rw`, or `rwc`, which creates a missing file.

    Raises:
        RecordError: A statement took more work than the file's size accounts for.
        sqlite3.Error: The file can't be used.
    """
    address = f"file:{quote(os.fsencode(path.absolute()))}?mode={mode}"
    left = _LEAST_STEPS + _STEPS_PER_BYTE * (path.stat().st_size if path.exists() else 0)

    def is_spent() -> bool:
        nonlocal left
        left -= _STEPS_AT_ONCE
        return left < 0

    with closing(
        sqlite3.connect(address, timeout=SECONDS_TO_WAIT, isolation_level=None, uri=True)
    ) as database:
        database.row_factory = sqlite3.Row
        database.set_progress_handler(is_spent, _STEPS_AT_ONCE)
        if hasattr(database, "setlimit"):  # since Python 3.11
            database.setlimit(_LIMIT_LENGTH, LARGEST_TEXT)
        try:
            yield database
        except sqlite3.Error as error:
            if left < 0:  # SQLite says "interrupted"
                raise RecordError("its tables do not end") from error
            raise


def rows_of(
    database: sqlite3.Connection, statement: str, parameters: Sequence[object] = ()
) -> Iterator[sqlite3.Row]:
    """Yield the rows of a query, at most as many as the file can hold.

    Raises:
        RecordError: There are more rows, as in a file whose pages are used several times.
        sqlite3.Error: The query fails.
    """
    (pages,), (size,) = (
        database.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "page_size")
    )
    left = pages * size
    for row in database.execute(statement, parameters):
        left -= _LEAST_BYTES_OF_ROW
        left -= sum(len(value) for value in tuple(row) if isinstance(value, str | bytes))
        if left < 0:
            raise RecordError("its tables hold more than the file does")
        yield row


def check_file(path: Path) -> None:
    """Check that SQLite can open a file without waiting and touches no other file.

    Raises:
        RecordError: It is no database, or it or its journal would make SQLite change another file
            or enlarge this one.
    """
    size = restored = 0
    for place in (journal(path), path):  # in this order: another process may add pages
        try:
            descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise RecordError(f"{place.name}: {error.strerror}") from None
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise RecordError(f"{place.name} is not a regular file")
            head = os.pread(descriptor, 28, 0)
            end = os.pread(descriptor, 8, max(0, found.st_size - 8))
        finally:
            os.close(descriptor)
        if place == path:
            size = found.st_size
            if head and (head[:16] != b"SQLite format 3\0" or head[18:20] != b"\1\1"):
                raise RecordError("file is not a database of a sweep")
            continue
        if head.startswith(_JOURNAL) and len(head) == 28:
            pages, _, page_size = struct.unpack(">III", head[16:])
            restored = pages * (page_size or _LARGEST_PAGE)
        # Such a journal ends with the name of a file, which SQLite would remove.
        if end == _JOURNAL_OF_SEVERAL:
            raise RecordError(f"{place.name} is of several databases")
    # SQLite restores the size given in the journal; a ledger was never larger before.
    if restored > size:
        raise RecordError(f"{journal(path).name} would make it larger than it is")


def journal(path: Path) -> Path:
    """Return the path of SQLite's journal, which exists during a transaction."""
    return path.with_name(f"{path.name}-journal")


def check_tables(database: sqlite3.Connection) -> None:
    """Check that a file holds a ledger's tables only, without triggers and the like.

    Raises:
        RecordError: It holds something else; views, triggers and computed columns can run for ever.
    """
    if _tables(database) != _known_tables():
        raise RecordError("it does not hold the tables of a sweep, and these alone")


@lru_cache(maxsize=1)
def _known_tables() -> set[tuple[str, str, str]]:
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(TABLES)
        return _tables(database)


def _tables(database: sqlite3.Connection) -> set[tuple[str, str, str]]:
    """Return kind, name and definition of what a database holds, except SQLite's own entries."""
    found = database.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    return {(str(kind), str(name), " ".join(str(sql).split())) for kind, name, sql in found}
