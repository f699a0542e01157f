"""What became of each job of a sweep, in one SQLite file that several processes write."""

from __future__ import annotations

import json
import os
import re
import socket
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gcseg.errors import OutputError
from gcseg.runs.shapes import (
    COUNT,
    FRACTION,
    JOB,
    TEXT,
    Entries,
    checked,
    cleaned,
    in_words,
    is_finite,
)
from gcseg.runs.shown import miou
from gcseg.sweeps.database import (
    TABLES,
    check_file,
    check_tables,
    connected,
    journal,
    rows_of,
)
from gcseg.sweeps.tabled import tabled
from gcseg.system.files import output_error
from gcseg.system.records import RecordError, parse_json
from gcseg.system.text import shown

State = Literal["pending", "running", "done", "failed", "pruned", "interrupted"]

SECONDS_UNTIL_LOST = 180.0
"""Without a sign of life from a job's owner on another machine."""

_ALL_JOBS = "SELECT * FROM jobs ORDER BY number"
_MOST_TOLD = 10
"""Jobs with odd entries of which each is told."""
_REPORT = Entries({"key": TEXT, "step": COUNT, "miou": FRACTION}, needed=["key", "step", "miou"])


@dataclass(frozen=True)
class Job:
    """One job of a sweep.

    Args:
        key: Fingerprint of its resolved settings.
        number: From 0, in the order of the sweep.
        overrides: As given: `("backbone=r18", "iters=20", "tta=flip")`.
        training: Fingerprint of what decides the training: jobs that share it train once.
        settings: backbone, head, dataset (names), iters, seed, modes (names of tta modes).
        state: How far it is.
        run: Its run folder, once that is known.
        evaluations: By mode, as results.json holds them.
        error: What went wrong, in one line.
        log: Its console log.
        seconds: That its process took.
    """

    key: str
    number: int
    overrides: tuple[str, ...]
    training: str
    settings: dict[str, Any]
    state: State = "pending"
    run: str | None = None
    evaluations: dict[str, dict[str, Any]] | None = None
    error: str | None = None
    log: str | None = None
    seconds: float | None = None

    @property
    def miou(self) -> float | None:
        """Under its first mode, a fraction; None if it has no score."""
        return miou((self.evaluations or {}).get(next(iter(self.settings["modes"]), "")))


class Ledger:
    """The jobs of a sweep.

    Holds no open file, so that it can be sent to other processes and machines. It is read strictly,
    as jobs are taken from it; `shown_jobs` is for who only looks.

    Args:
        path: The SQLite file; made if it is missing.

    Raises:
        OutputError: The file can't be written, is no ledger or holds what none does. So do all
            methods.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(path, error) from error
        with self._transaction(known=False) as database:
            for statement in TABLES.split(";"):
                database.execute(statement)
            check_tables(database)

    def jobs(self) -> list[Job]:
        """All jobs, by number."""
        with self._transaction("BEGIN") as database:
            return [_job(row) for row in rows_of(database, _ALL_JOBS)]

    def job(self, key: str) -> Job:
        """One job.

        Raises:
            KeyError: There is none of this key.
        """
        with self._transaction("BEGIN") as database:
            row = database.execute("SELECT * FROM jobs WHERE key = ?", (key,)).fetchone()
            if row is None:
                raise KeyError(key)
            return _job(row)

    def add(
        self,
        key: str,
        number: int,
        *,
        overrides: Iterable[str],
        training: str,
        settings: Mapping[str, Any],
    ) -> Job:
        """Enter a job, if it is new; one that is known stays as it is.

        Its number is the one given or, where another job has that, the next free one.
        """
        overrides = list(overrides)
        with self._transaction() as database:
            # The same words meant something else before a file of settings was changed.
            others = "SELECT * FROM jobs WHERE key != ? AND state != 'running'"
            same = [row["key"] for row in rows_of(database, others, (key,))
                    if sorted(_job(row).overrides) == sorted(overrides)]  # fmt: skip
            for old in same:
                database.execute("DELETE FROM jobs WHERE key = ?", (old,))
            taken = {row["number"] for row in database.execute("SELECT number FROM jobs")}
            database.execute(
                "INSERT OR IGNORE INTO jobs (key, number, overrides, training, settings)"
                " VALUES (?, ?, ?, ?, ?)",
                (
                    key,
                    number if number not in taken else max(taken) + 1,
                    json.dumps(overrides),
                    training,
                    json.dumps(dict(settings)),
                ),
            )
        return self.job(key)

    def claim(self, key: str, *, log: Path | None = None) -> bool:
        """Make a job this process's to run, unless its training is in the hands of another.

        A job that can't be had is handed over: who runs its training takes it up afterwards with
        `take_over`. A training whose process died counts as nobody's.
        """
        with self._transaction() as database:
            rows = rows_of(
                database,
                "SELECT key, owner, alive FROM jobs WHERE state = 'running' AND training ="
                " (SELECT training FROM jobs WHERE key = ?)",
                (key,),
            )
            for row in list(rows):
                if not _lives(row["owner"], row["alive"]):
                    _interrupt(database, row["key"])
                elif row["owner"] != owner():
                    database.execute("UPDATE jobs SET handed_over = 1 WHERE key = ?", (key,))
                    return False
            _start(database, key, log)
            return True

    def take_over(self, key: str) -> Job | None:
        """Claim the next job that was handed over to who ran a job, once that is finished."""
        with self._transaction() as database:
            row = database.execute(
                "SELECT key, handed_over, state FROM jobs WHERE training ="
                " (SELECT training FROM jobs WHERE key = ?) AND (handed_over OR state = 'running')"
                " ORDER BY state != 'running', number",
                (key,),
            ).fetchone()
            if row is None or row["state"] == "running":  # of whoever will take the others over
                return None
            _start(database, row["key"], None)
        return self.job(row["key"])

    def show_life(self, keys: Iterable[str], *, run: str | None = None) -> None:
        """Note that running jobs still do, and their run folder as soon as it is known."""
        with self._transaction() as database:
            for key in keys:
                database.execute(
                    "UPDATE jobs SET alive = ?, run = coalesce(?, run) WHERE key = ?",
                    (time.time(), run, key),
                )

    def finish(
        self,
        key: str,
        state: State,
        *,
        run: str | None = None,
        evaluations: Mapping[str, Mapping[str, Any]] | None = None,
        error: str | None = None,
        log: Path | None = None,
        seconds: float | None = None,
    ) -> None:
        """Enter what became of a job."""
        with self._transaction() as database:
            database.execute(
                "UPDATE jobs SET state = ?, run = coalesce(?, run), evaluations = ?, error = ?,"
                " log = coalesce(?, log), seconds = ?, owner = NULL, alive = NULL WHERE key = ?",
                (
                    state,
                    run,
                    None if evaluations is None else json.dumps(evaluations),
                    error,
                    None if log is None else str(log),
                    seconds,
                    key,
                ),
            )

    def settle(self) -> None:
        """Count jobs as interrupted whose process is gone, as at the start of a sweep."""
        with self._transaction() as database:
            running = "SELECT key, owner, alive FROM jobs WHERE state = 'running'"
            for row in list(rows_of(database, running)):
                if not _lives(row["owner"], row["alive"]):
                    _interrupt(database, row["key"])
            database.execute("UPDATE jobs SET handed_over = 0")

    def report(self, key: str, step: int, miou: float) -> None:
        """Enter a validation during training.

        Args:
            key: The job's.
            step: Optimizer steps done.
            miou: A fraction.
        """
        with self._transaction() as database:
            database.execute("INSERT OR REPLACE INTO reports VALUES (?, ?, ?)", (key, step, miou))

    def reports(self) -> dict[str, dict[int, float]]:
        """The validations of each job that had any: mIoU as a fraction, by step."""
        found: dict[str, dict[int, float]] = {}
        with self._transaction("BEGIN") as database:
            for row in rows_of(database, "SELECT * FROM reports ORDER BY key, step"):
                report = checked(dict(row), _REPORT)
                found.setdefault(report["key"], {})[report["step"]] = report["miou"]
        return found

    @contextmanager
    def _transaction(
        self, begin: str = "BEGIN IMMEDIATE", *, known: bool = True
    ) -> Iterator[sqlite3.Connection]:
        """A connection for one short transaction, which others wait for.

        The journal is SQLite's usual one, a file: its faster one (WAL) needs memory that machines
        on one file system don't share.

        Args:
            begin: The statement.
            known: Whether the tables must be there.
        """
        try:
            check_file(self.path)
            with connected(self.path) as database:  # what is not committed is undone
                database.execute(begin)
                if known:
                    check_tables(database)
                yield database
                database.execute("COMMIT")
        except (sqlite3.Error, RecordError) as error:
            raise OutputError(
                f"{self.path} can't be used ({shown(str(error))})",
                "free space there, or move the file away; finished trainings are not run again",
            ) from error


def shown_jobs(path: Path, notices: list[str]) -> list[Job]:
    """The jobs of a ledger by number, as far as they can be shown.

    Args:
        path: The SQLite file.
        notices: Gets one for each of the first jobs that have odd entries, or are left out for
            them, and one on those that are left out for their number.

    Raises:
        OutputError: It can't be read, or is no ledger.
    """
    try:
        check_file(path)
        mode = "rw" if journal(path).exists() else "ro"  # what a kill has left is undone
        with connected(path, mode) as database:
            database.text_factory = lambda content: content.decode(errors="replace")
            database.execute("BEGIN")
            check_tables(database)
            rows = list(rows_of(database, _ALL_JOBS))
    except (sqlite3.Error, RecordError) as error:
        raise OutputError(
            f"{path} can't be read ({shown(str(error))})", "move the sweep's folder away"
        ) from error
    jobs = []
    told = 0
    for row in rows:
        odd: list[str] = []
        job = _shown_job(row, odd)
        if odd:
            told += 1
        if odd and told <= _MOST_TOLD:
            left = "and is left out" if job is None else "which are left out"
            name = f"job {shown(str(row['number']))} of {path}"
            notices.append(f"{name} has odd entries, {left}: {in_words(odd)}")
        if job is not None:
            jobs.append(job)
    if told > _MOST_TOLD:
        notices.append(f"{told - _MOST_TOLD} more jobs of {path} have odd entries")
    few = tabled(jobs)
    if len(few) < len(jobs):
        notices.append(
            f"{len(jobs) - len(few)} of the {len(jobs)} jobs of {path} are left out: a table of "
            "all would have too many cells"
        )
    return list(few)


def owner() -> str:
    """This process, as the ledger names it: its machine, its number, and when it was started."""
    return f"{socket.gethostname()} {os.getpid()} {_start_of(os.getpid())}"


def _lives(name: str | None, alive: float | None) -> bool:
    """Whether a job's owner still does."""
    if name is None or alive is None:
        return False
    found = re.fullmatch(r"(\S+) ([1-9]\d{0,8}) (\S+)", name) if isinstance(name, str) else None
    if found is None or not is_finite(alive):
        raise RecordError(f"it has a job that runs at {shown(name)}")
    host, process, start = found.groups()
    if host == socket.gethostname():
        try:
            os.kill(int(process), 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # another user's
            pass
        if start != _start_of(int(process)):  # its number is another's by now
            return False
    return time.time() - alive < SECONDS_UNTIL_LOST


def _start_of(process: int) -> str:
    """When a process was started, in ticks of the machine's clock; "-" where that is not told."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return "-"


def _start(database: sqlite3.Connection, key: str, log: Path | None) -> None:
    database.execute(
        "UPDATE jobs SET state = 'running', handed_over = 0, owner = ?, alive = ?, error = NULL,"
        " log = coalesce(?, log) WHERE key = ?",
        (owner(), time.time(), None if log is None else str(log), key),
    )


def _interrupt(database: sqlite3.Connection, key: str) -> None:
    database.execute(
        "UPDATE jobs SET state = 'interrupted', owner = NULL, alive = NULL WHERE key = ?", (key,)
    )


def _job(row: sqlite3.Row) -> Job:
    """A job as the ledger holds it.

    Raises:
        RecordError: An entry is odd.
    """
    odd: list[str] = []
    job = _shown_job(row, odd)
    if job is None or odd:
        raise RecordError(f"job {shown(str(row['number']))}: {odd[0]}")
    return job


def _shown_job(row: sqlite3.Row, odd: list[str]) -> Job | None:
    """A job without its odd entries, which `odd` gets; None where they make it no job."""
    columns = {name: row[name] for name in JOB.shapes}
    for name in ("overrides", "settings", "evaluations"):
        if columns[name] is not None:
            try:
                if not isinstance(columns[name], str):
                    raise RecordError("it is no text")
                columns[name] = parse_json(columns[name])
            except RecordError as error:
                odd.append(f"{name}: {error}")
                columns[name] = None
    known = cleaned(columns, JOB, odd)
    if known is None:
        return None
    known["settings"] = {"modes": [], **known["settings"]}
    return Job(**{**known, "overrides": tuple(known["overrides"])})
