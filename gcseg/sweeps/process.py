"""One training as a child process: started, watched, stopped, and what became of it."""

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
"""Takes the file of a job's settings."""
SECONDS_TO_LEAVE = 300.0
"""For a training that is asked to save and leave, before it is killed."""

_CLASS = re.compile(r"^(\[rank\d+\]: *)?gcseg\.errors\.\w+: ")
"""Of an error of ours, at the end of a traceback."""


@dataclass(frozen=True)
class Progress:
    """How far a training is.

    Args:
        step: Optimizer steps done.
        iters: Optimizer steps in all.
        seconds_left: Seconds until the last step.
        miou: mIoU of the last validation, a fraction.
    """

    step: int | None = None
    iters: int | None = None
    seconds_left: float | None = None
    miou: float | None = None


@dataclass(frozen=True)
class Result:
    """What became of a job's process.

    Args:
        state: done, failed, pruned or interrupted.
        run: The run folder, if it came so far.
        evaluations: Records by mode, if it is done.
        error: What went wrong, in one line.
        seconds: That it took.
    """

    state: State
    run: str | None
    evaluations: dict[str, dict[str, Any]] | None
    error: str | None
    seconds: float


class JobProcess:
    """A training in a process group of its own, which ends when this process does.

    Args:
        config: Its resolved settings.
        folder: Gets config.yaml, console.log (continued, where there is one) and outcome.json.
        working_folder: That the paths among the settings are relative to.
        environment: Variables that it gets beside this process's own.
        timeout: Seconds after which it is stopped; None for never.

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
                    stdin=subprocess.PIPE,  # which closes when this process ends, however it does
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
        """Since it was started."""
        return time.monotonic() - self._started

    def poll(self) -> bool:
        """Whether it still runs; stops it when its time is over."""
        if self._child.poll() is not None:
            return False
        if self._stopped is None and self.timeout is not None and self.seconds > self.timeout:
            self.stop("failed", f"stopped after {self.seconds / 60:.1f} minutes: raise job_timeout")
        if self._kill_at is not None and time.monotonic() > self._kill_at:
            self.kill()
        return True

    def wait(self, seconds: float) -> None:
        """Sleep, but not longer than it runs."""
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(seconds)

    def stop(self, state: State, why: str | None = None, by: int = signal.SIGTERM) -> None:
        """Ask it to save and leave.

        Args:
            state: What it counts as then.
            why: The error, in one line.
            by: The signal that it gets.
        """
        if self._stopped is None:
            self._stopped, self._why = state, why
            self._kill_at = time.monotonic() + SECONDS_TO_LEAVE
            with suppress(ProcessLookupError):
                os.kill(self._child.pid, by)

    def kill(self) -> None:
        """End it, and what it has started, at once."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)

    def told(self) -> dict[str, Any]:
        """What the job has said so far: its run folder and, in the end, its scores."""
        try:
            return cleaned(read_json(self.outcome, within=self.outcome.parent), OUTCOME, []) or {}
        except (OSError, RecordError):  # it is not there yet
            return {}

    def progress(self) -> Progress:
        """How far it is, as it has reported last."""
        told = self.told().get("progress") or {}
        return Progress(*(told.get(one.name) for one in fields(Progress)))

    def validations(self) -> dict[int, float]:
        """Validation mIoU by optimizer steps done, as the run's metrics.csv has them."""
        from gcseg.runs.shown import shown_curves

        run = self.told().get("run")
        curves = {} if run is None else shown_curves(Path(run), only=["val/miou"])
        steps, values = curves.get("val/miou", ([], []))
        return {step: value for step, value in zip(steps, values, strict=True)
                if FRACTION.fits(value)}  # fmt: skip

    def result(self) -> Result:
        """What became of it, once it has ended; ends what it has left behind."""
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
        """Why it failed, in one line."""
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
    """A console log to write on at its end; no link, nor a pipe, which would not open.

    Raises:
        OSError: It can't be opened, or is no regular file.
    """
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            raise OSError(errno.EEXIST, "it is no regular file")
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    return open(os.open(path, flags, 0o666), "ab")  # noqa: PTH123  # it is open already


def _signal(number: int) -> str:
    """A signal's name; its number where it has none, as between SIGRTMIN and SIGRTMAX."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
