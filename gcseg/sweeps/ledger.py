"""The ledger of a sweep's jobs and their outcomes: one SQLite file for several processes."""

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
ENDED = ("done", "failed", "pruned")
"""States of jobs that a sweep does not go on with."""

SECONDS_UNTIL_LOST = 180.0
"""Seconds without a sign of life after which a job's owner on another machine counts as gone."""

_ALL_JOBS = "SELECT * FROM jobs ORDER BY number"
_MOST_TOLD = 10
"""Number of jobs with odd entries that get a notice each."""
_REPORT = Entries({"key": TEXT, "step": COUNT, "miou": FRACTION}, needed=["key", "step", "miou"])


@dataclass(frozen=True)
class Job:
    """One job of a sweep.

    Args:
        key: Fingerprint of the resolved settings.
        number: Number in the order of the sweep, from 0.
        overrides: Overrides as given: `("backbone=r18", "iters=20", "tta=flip")`.
        training: Fingerprint of what decides the training: jobs that share it train once.
        settings: backbone, head, dataset (names), iters, seed, modes (names of tta modes).
        state: State of the job.
        run: Path of the run folder, once it is known.
        evaluations: Evaluation records by mode, as in results.json.
        error: Error in one line.
        log: Path of the console log.
        seconds: Seconds that the process took.
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
        """The mIoU under the job's first mode, a fraction; None if it has no score."""
        return miou((self.evaluations or {}).get(next(iter(self.settings["modes"]), "")))

    @property
    def stopped_at(self) -> int | None:
        """Step at which a finished training stopped early; None if it did not."""
        records = (self.evaluations or {}).values()
        return next((one["stopped_at"] for one in records if "stopped_at" in one), None)


class Ledger:
    """The jobs of a sweep.

    Holds no open file, so that it can be sent to other processes and machines. The file is read
    strictly, as jobs are taken from it; `shown_jobs` reads it leniently, to show it.

    Args:
        path: The SQLite file; created if it is missing.

    Raises:
        OutputError: The file can't be written, is no ledger or holds odd entries. All methods raise
            it too.
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
        """Return all jobs, by number."""
        with self._transaction("BEGIN") as database:
            return [_job(row) for row in rows_of(database, _ALL_JOBS)]

    def job(self, key: str) -> Job:
        """Return one job.

        Raises:
            KeyError: No job has this key.
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
        """Enter a new job; a known one is not changed.

        A new job gets the given number or, if another job has it, the next free one.
        """
        overrides = list(overrides)
        with self._transaction() as database:
            # The same overrides meant other settings before a configuration file was changed.
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
        """Claim a job for this process, unless another process is running its training.

        A job that can't be claimed is handed over: the process that runs its training takes it up
        afterwards with `take_over`. A training whose process died can be claimed.
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
        """Claim the next job that was handed over to a finished job's process; None if none."""
        with self._transaction() as database:
            row = database.execute(
                "SELECT key, handed_over, state FROM jobs WHERE training ="
                " (SELECT training FROM jobs WHERE key = ?) AND (handed_over OR state = 'running')"
                " ORDER BY state != 'running', number",
                (key,),
            ).fetchone()
            if row is None or row["state"] == "running":  # its process takes the others over
                return None
            _start(database, row["key"], None)
        return self.job(row["key"])

    def show_life(self, keys: Iterable[str], *, run: str | None = None) -> None:
        """Note that jobs are still running, and their run folder once it is known."""
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
        """Enter the outcome of a job."""
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
        """Mark jobs whose process is gone as interrupted, at the start of a sweep."""
        with self._transaction() as database:
            running = "SELECT key, owner, alive FROM jobs WHERE state = 'running'"
            for row in list(rows_of(database, running)):
                if not _lives(row["owner"], row["alive"]):
                    _interrupt(database, row["key"])
            database.execute("UPDATE jobs SET handed_over = 0")

    def report(self, key: str, step: int, miou: float) -> None:
        """Enter a validation during training.

        Args:
            key: Key of the job.
            step: Number of optimizer steps done.
            miou: Validation mIoU, a fraction.
        """
        with self._transaction() as database:
            database.execute("INSERT OR REPLACE INTO reports VALUES (?, ?, ?)", (key, step, miou))

    def reports(self) -> dict[str, dict[int, float]]:
        """Return the validations of each job that has any: mIoU as a fraction, by step."""
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
        """Open a connection for one short transaction, for which other processes wait.

        The journal is SQLite's default one, a file: the faster one (WAL) needs memory that machines
        on a shared file system don't share.

        Args:
            begin: Statement that begins the transaction.
            known: Whether the tables must exist already.
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
    """Return the jobs of a ledger by number, as far as they can be shown.

    Args:
        path: The SQLite file.
        notices: List to which a notice is appended for each of the first jobs that have odd entries
            or are left out because of them, and one on jobs that are left out because there are
            too many.

    Raises:
        OutputError: The file can't be read, or is no ledger.
    """
    try:
        check_file(path)
        mode = "rw" if journal(path).exists() else "ro"  # a killed process's transaction is undone
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
    return few


def owner() -> str:
    """Return this process's name in the ledger: machine, process number and start time."""
    return f"{socket.gethostname()} {os.getpid()} {_start_of(os.getpid())}"


def _lives(name: str | None, alive: float | None) -> bool:
    """Return whether a job's owner is still alive."""
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
        except PermissionError:  # another user's process
            pass
        if start != _start_of(int(process)):  # the number now belongs to another process
            return False
    return time.time() - alive < SECONDS_UNTIL_LOST


def _start_of(process: int) -> str:
    """Return a process's start time in ticks of the machine's clock; "-" if it is not known."""
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
    """Read a job from a row of the ledger.

    Raises:
        RecordError: An entry is odd.
    """
    odd: list[str] = []
    job = _shown_job(row, odd)
    if job is None or odd:
        raise RecordError(f"job {shown(str(row['number']))}: {odd[0]}")
    return job


def _shown_job(row: sqlite3.Row, odd: list[str]) -> Job | None:
    """Read a job without its odd entries, which go to `odd`; None if too little is left."""
    columns = {name: row[name] for name in JOB.shapes}
    for name in ("overrides", "settings", "evaluations"):
        if columns[name] is not None:
            try:
                if not isinstance(columns[name], str):
                    raise RecordError("it is not text")
                columns[name] = parse_json(columns[name])
            except RecordError as error:
                odd.append(f"{name}: {error}")
                columns[name] = None
    known = cleaned(columns, JOB, odd)
    if known is None:
        return None
    known["settings"] = {"modes": [], **known["settings"]}
    return Job(**{**known, "overrides": tuple(known["overrides"])})
