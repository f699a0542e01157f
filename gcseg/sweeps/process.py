"""A training as a child process: its start, progress, stop and outcome."""

from __future__ import annotations

import errno
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Any

import yaml

from gcseg.errors import LEFT_EARLY
from gcseg.runs.folder import CONFIG_FILE
from gcseg.runs.shapes import FRACTION, OUTCOME, cleaned
from gcseg.sweeps.ledger import State
from gcseg.sweeps.outcome import JOB, VARIABLE
from gcseg.system.files import atomic_write, output_error
from gcseg.system.records import RecordError, read_json

COMMAND = (sys.executable, "-m", "gcseg.train", "--resolved")
"""Command of a job; the file of its settings is appended."""
SECONDS_TO_LEAVE = 300.0
"""Seconds between the request to save and exit and the kill of a training."""

_CLASS = re.compile(r"^(\[rank\d+\]: *)?gcseg\.errors\.\w+: ")
"""Pattern of the class name of one of gcseg's errors, at the end of a traceback."""


@dataclass(frozen=True)
class Progress:
    """The progress of a training.

    Args:
        step: Number of optimizer steps done.
        iters: Total number of optimizer steps.
        seconds_left: Seconds until the last step.
        miou: mIoU of the last validation, a fraction.
    """

    step: int | None = None
    iters: int | None = None
    seconds_left: float | None = None
    miou: float | None = None


@dataclass(frozen=True)
class Result:
    """The outcome of a job's process.

    Args:
        state: done, failed, pruned or interrupted.
        run: Path of the run folder, if there is one.
        evaluations: Evaluation records by mode, if the job is done.
        error: Error in one line.
        seconds: Seconds that the process took.
    """

    state: State
    run: str | None
    evaluations: dict[str, dict[str, Any]] | None
    error: str | None
    seconds: float


class JobProcess:
    """A training in its own process group, which ends when this process does.

    Args:
        config: Resolved settings of the training.
        folder: Folder for config.yaml, console.log (appended to if it exists) and outcome.json.
        working_folder: Folder that the paths in the settings are relative to.
        environment: Environment variables in addition to those of this process.
        timeout: Seconds after which the training is stopped; None for never.

    Raises:
        OutputError: The folder can't be written.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        folder: Path,
        working_folder: Path,
        environment: Mapping[str, str],
        timeout: float | None = None,
    ) -> None:
        folder = folder.absolute()
        self.log = folder / "console.log"
        self.outcome = folder / "outcome.json"
        self.timeout = timeout
        self._stopped: State | None = None
        self._why: str | None = None
        self._kill_at: float | None = None
        with atomic_write(folder / CONFIG_FILE) as file:
            file.write(yaml.safe_dump(dict(config), sort_keys=False).encode())
        inherited = {name: value for name, value in os.environ.items() if name != JOB}
        try:
            self.outcome.unlink(missing_ok=True)
            with _continued(self.log) as log:
                self._log_start = log.tell()
                self._child = subprocess.Popen(
                    [*COMMAND, folder / CONFIG_FILE],
                    stdin=subprocess.PIPE,  # closes when this process ends, even if killed
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=working_folder,
                    env={**inherited, "PYTHONUNBUFFERED": "1", **environment,
                         VARIABLE: str(self.outcome)},
                    start_new_session=True,
                )  # fmt: skip
        except OSError as error:
            raise output_error(self.log, error) from error
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def poll(self) -> bool:
        """Return whether the process still runs, and stop it after its timeout."""
        if self._child.poll() is not None:
            return False
        if self._stopped is None and self.timeout is not None and self.seconds > self.timeout:
            self.stop("failed", f"stopped after {self.seconds / 60:.1f} minutes: raise job_timeout")
        if self._kill_at is not None and time.monotonic() > self._kill_at:
            self.kill()
        return True

    def wait(self, seconds: float) -> None:
        """Sleep for some seconds, or until the process ends."""
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(seconds)

    def stop(self, state: State, why: str | None = None, by: int = signal.SIGTERM) -> None:
        """Ask the training to save and exit.

        Args:
            state: State of the job after that.
            why: Error in one line.
            by: Number of the signal that is sent.
        """
        if self._stopped is None:
            self._stopped, self._why = state, why
            self._kill_at = time.monotonic() + SECONDS_TO_LEAVE
            with suppress(ProcessLookupError):
                os.kill(self._child.pid, by)

    def kill(self) -> None:
        """Kill the process and those that it has started at once."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)

    def told(self) -> dict[str, Any]:
        """Return the job's report so far: its run folder and, at the end, its scores."""
        try:
            return cleaned(read_json(self.outcome, within=self.outcome.parent), OUTCOME, []) or {}
        except (OSError, RecordError):  # not written yet
            return {}

    def progress(self) -> Progress:
        """Return the progress that the job last reported."""
        told = self.told().get("progress") or {}
        return Progress(*(told.get(one.name) for one in fields(Progress)))

    def validations(self) -> dict[int, float]:
        """Return the validation mIoU by optimizer steps done, from the run's metrics.csv."""
        from gcseg.runs.shown import shown_curves

        run = self.told().get("run")
        curves = {} if run is None else shown_curves(Path(run), only=["val/miou"])
        steps, values = curves.get("val/miou", ([], []))
        return {step: value for step, value in zip(steps, values, strict=True)
                if FRACTION.fits(value)}  # fmt: skip

    def result(self) -> Result:
        """Return the outcome of the ended process, and kill processes that it left behind."""
        status = self._child.wait()
        self.kill()
        if self._child.stdin is not None:
            self._child.stdin.close()
        told = self.told()
        run, evaluations = told.get("run"), told.get("evaluations")
        if status == 0 and evaluations:
            return Result("done", run, evaluations, None, self.seconds)
        if self._stopped is not None:
            return Result(self._stopped, run, None, self._why, self.seconds)
        if status in (LEFT_EARLY, 130):
            return Result("interrupted", run, None, None, self.seconds)
        error = "ended without scores" if status == 0 else self._error(status)
        return Result("failed", run, None, error, self.seconds)

    def _error(self, status: int) -> str:
        """Return the reason for the failure, in one line."""
        if status < 0:
            return f"killed by {_signal(-status)}"
        try:
            with self.log.open("rb") as log:
                log.seek(self._log_start)
                lines = log.read().decode(errors="replace").split("\n")
        except OSError as error:
            lines = [f"{self.log} can't be read: {error}"]
        lines = [_CLASS.sub("", line.strip()) for line in lines if line.strip()]
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        return (errors or lines or [f"ended with status {status}"])[-1]


def _continued(path: Path) -> IO[bytes]:
    """Open a console log for appending; links and pipes are refused.

    Raises:
        OSError: The file can't be opened, or is no regular file.
    """
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            raise OSError(errno.EEXIST, "it is not a regular file")
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    return open(os.open(path, flags, 0o666), "ab")  # noqa: PTH123  # it is open already


def _signal(number: int) -> str:
    """Return a signal's name; its number if it has none, as between SIGRTMIN and SIGRTMAX."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
