"""A job's reports to the sweep that started it, and its exit when the sweep is gone."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from gcseg.errors import OutputError
from gcseg.system.files import write_json
from gcseg.system.launch import is_first_process
from gcseg.system.text import say

VARIABLE = "GCSEG_JOB_OUTCOME"
"""Environment variable with the file for a job's outcome; set by the sweep for its jobs."""

JOB = "GCSEG_JOB_PROCESS"
"""Environment variable with the process that VARIABLE is meant for; that process's children inherit
both."""

SECONDS_TO_LEAVE = 300.0
"""Seconds to save and exit after the sweep is gone."""


def in_sweep() -> bool:
    """Return whether a sweep started this process and it has called `leave_with_sweep`."""
    return VARIABLE in os.environ and os.environ.get(JOB) == str(os.getpid())


def sweep_of_job() -> str | None:
    """Return the name of the sweep that started this process; None if none did.

    A program that trains in several processes from Python starts one as a sweep does, without one.
    """
    if not in_sweep():
        return None
    folder = Path(os.environ[VARIABLE]).parents[2]
    return folder.name if (folder / "ledger.sqlite").exists() else None


def leave_with_sweep() -> None:
    """Save and exit when the sweep that started this process is gone, if one did.

    The process exits as on SIGTERM. The sweep holds the other end of this process's standard input,
    which closes even if the sweep is killed, so that no job stays behind and holds devices and run
    folders. Processes that the job starts do not count as jobs, although they inherit its
    environment.
    """

    def watch() -> None:
        while os.read(descriptor, 1024):
            pass
        say("the sweep has ended: this job saves and exits", error=True)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(SECONDS_TO_LEAVE)
        os.killpg(os.getpid(), signal.SIGKILL)

    if VARIABLE in os.environ:
        os.environ.setdefault(JOB, str(os.getpid()))
    if in_sweep() and is_first_process():
        descriptor = os.dup(0)
        os.set_inheritable(descriptor, False)
        threading.Thread(target=watch, daemon=True).start()


def report_to_sweep(run: Path, evaluations: Mapping[str, Mapping[str, Any]] | None = None) -> None:
    """Report a job's run folder to the sweep and, at the end, its scores by mode.

    Does nothing in a process that no sweep started.

    Args:
        run: The run folder.
        evaluations: Evaluation records by mode, once they exist.

    Raises:
        OutputError: The file can't be written.
    """
    _write({"run": str(run.absolute()), "evaluations": evaluations})


def report_progress(run: Path, progress: Mapping[str, Any]) -> None:
    """Report a job's progress to the sweep; a full disk does not stop the training.

    Args:
        run: The run folder.
        progress: Step, total steps, seconds left and last mIoU, as in `RunProgress`.
    """
    with suppress(OutputError):
        _write({"run": str(run.absolute()), "evaluations": None, "progress": dict(progress)})


def _write(outcome: Mapping[str, Any]) -> None:
    if in_sweep() and is_first_process():
        write_json(Path(os.environ[VARIABLE]), outcome)
