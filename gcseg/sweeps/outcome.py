"""A job's side of the sweep that started it: what it tells it, and leaving when it is gone."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gcseg.files import write_json
from gcseg.ranks import is_first_process

VARIABLE = "GCSEG_JOB_OUTCOME"
"""Names the file that a job writes its outcome to; set by the sweep for its jobs."""

SECONDS_TO_LEAVE = 300.0
"""For saving and leaving, once the sweep is gone."""


def in_sweep() -> bool:
    """Whether a sweep has started this process."""
    return VARIABLE in os.environ


def leave_with_sweep() -> None:
    """Save and leave as on SIGTERM when the sweep that started this job is gone.

    The sweep holds the other end of this process's standard input, which closes with it even
    where it is killed, so that no job is left behind that holds devices and run folders.
    """

    def watch() -> None:
        while os.read(descriptor, 1024):
            pass
        print("the sweep is gone: this job saves and leaves", file=sys.stderr)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(SECONDS_TO_LEAVE)
        os.killpg(os.getpid(), signal.SIGKILL)

    if in_sweep() and is_first_process():
        descriptor = os.dup(0)
        os.set_inheritable(descriptor, False)
        threading.Thread(target=watch, daemon=True).start()


def tell_sweep(run: Path, evaluations: Mapping[str, Mapping[str, Any]] | None = None) -> None:
    """Tell the sweep which run folder a job trains in, and in the end its scores by mode.

    Nothing where no sweep asked, as in a training by itself.

    Raises:
        OutputError: The file can't be written.
    """
    if in_sweep() and is_first_process():
        outcome = {"run": str(run.absolute()), "evaluations": evaluations}
        write_json(Path(os.environ[VARIABLE]), outcome)
