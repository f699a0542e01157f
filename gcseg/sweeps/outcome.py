"""A job's side of the sweep that started it: what it reports, and leaving when it is gone."""

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
"""Names the file that a job writes its outcome to; set by the sweep for its jobs."""

JOB = "GCSEG_JOB_PROCESS"
"""The process that VARIABLE was meant for; what that starts finds both in its environment."""

SECONDS_TO_LEAVE = 300.0
"""For saving and leaving, once the sweep is gone."""


def in_sweep() -> bool:
    """Whether a sweep has started this process, which has called `leave_with_sweep`."""
    return VARIABLE in os.environ and os.environ.get(JOB) == str(os.getpid())


def sweep_of_job() -> str | None:
    """The name of the sweep that has started this process; None if none has."""
    return Path(os.environ[VARIABLE]).parents[2].name if in_sweep() else None


def leave_with_sweep() -> None:
    """Be a sweep's job, if one started this process: save and leave when the sweep is gone.

    It is left as on SIGTERM. The sweep holds the other end of this process's standard input, which
    closes with it even where it is killed, so that no job is left behind that holds devices and
    run folders. What the job starts is no job of the sweep, whatever it finds in its environment.
    """

    def watch() -> None:
        while os.read(descriptor, 1024):
            pass
        say("the sweep is gone: this job saves and leaves", error=True)
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
    """Tell the sweep which run folder a job trains in, and in the end its scores by mode.

    Nothing where no sweep asked, as in a training by itself.

    Args:
        run: The run folder.
        evaluations: Records by mode, once they are there.

    Raises:
        OutputError: The file can't be written.
    """
    _write({"run": str(run.absolute()), "evaluations": evaluations})


def report_progress(run: Path, progress: Mapping[str, Any]) -> None:
    """Tell the sweep how far a job is; a disk that is full for it keeps no training.

    Args:
        run: The run folder.
        progress: Step, steps in all, seconds left and last mIoU, as `RunProgress` has them.
    """
    with suppress(OutputError):
        _write({"run": str(run.absolute()), "evaluations": None, "progress": dict(progress)})


def _write(outcome: Mapping[str, Any]) -> None:
    if in_sweep() and is_first_process():
        write_json(Path(os.environ[VARIABLE]), outcome)
