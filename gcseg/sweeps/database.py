"""The SQLite file of a sweep: opened only where it does nothing but hold a ledger's tables."""

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
"""For another process's transaction, which takes milliseconds; network file systems are slow."""
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
"""Of a ledger."""

_LIMIT_LENGTH = 0
"""SQLITE_LIMIT_LENGTH of sqlite3.h, of bytes in a row."""
_JOURNAL = bytes.fromhex("d9d505f920a163d7")
"""The beginning of a journal. From byte 16 on come, in 32 bits each, the pages that the file had
before the transaction, the bytes of a sector and those of a page; 0 for the file's own. Source:
`readJournalHdr` of pager.c of SQLite."""
_LARGEST_PAGE = 65536
"""Bytes of a page of any SQLite file."""
_JOURNAL_OF_SEVERAL = _JOURNAL
"""The end of such a journal. Source: pager.c of SQLite, `readSuperJournal`."""
_LEAST_STEPS = 2_000_000
_STEPS_PER_BYTE = 4
"""Instructions of SQLite's virtual machine in one connection, by the file's size: a row of a ledger
has 200 bytes and more, and takes 20."""
_STEPS_AT_ONCE = 1000
_LEAST_BYTES_OF_ROW = 15
"""A ledger's row without its texts."""


@contextmanager
def connected(path: Path, mode: str = "rwc") -> Iterator[sqlite3.Connection]:
    """A connection to a file, in which everything ends.

    The pages of a file that someone made for it may lead to one another so that a few thousand
    bytes are billions of rows.

    Args:
        path: The file.
        mode: Of SQLite: `ro`, `rw`, or `rwc`, which makes it if it is missing.

    Raises:
        RecordError: A statement took more work than the file's size accounts for.
        sqlite3.Error: It can't be used.
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
        if hasattr(database, "setlimit"):  # from Python 3.11 on
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
    """The rows of a query, which are no more than the file can hold.

    Raises:
        RecordError: They are, as where pages stand for several.
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
    """Check that SQLite can open a file without waiting, and will touch no other.

    Raises:
        RecordError: It is no database, or SQLite would do elsewhere what it or its journal says, or
            make it larger.
    """
    size = restored = 0
    for place in (journal(path), path):  # in this order, as another process may add pages
        try:
            descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise RecordError(f"{place.name}: {error.strerror}") from None
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise RecordError(f"{place.name} is no regular file")
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
        # Its end would be the name of a file, which SQLite removes.
        if end == _JOURNAL_OF_SEVERAL:
            raise RecordError(f"{place.name} is of several databases")
    # SQLite gives the file the size that the journal says; that of a ledger never was larger.
    if restored > size:
        raise RecordError(f"{journal(path).name} would make it larger than it is")


def journal(path: Path) -> Path:
    """Where SQLite keeps what a transaction changes, until it is done."""
    return path.with_name(f"{path.name}-journal")


def check_tables(database: sqlite3.Connection) -> None:
    """Check that a file holds a ledger's tables and nothing that acts when they are used.

    Raises:
        RecordError: It holds others: views, triggers and computed columns can run for ever.
    """
    if _tables(database) != _known_tables():
        raise RecordError("it does not hold the tables of a sweep, and these alone")


@lru_cache(maxsize=1)
def _known_tables() -> set[tuple[str, str, str]]:
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(TABLES)
        return _tables(database)


def _tables(database: sqlite3.Connection) -> set[tuple[str, str, str]]:
    """What a database has, but for what SQLite makes by itself: kind, name and definition."""
    found = database.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    return {(str(kind), str(name), " ".join(str(sql).split())) for kind, name, sql in found}
