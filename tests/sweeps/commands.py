"""Sweeps of the training command whose jobs are stubs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from gcseg.report.sweep import write
from gcseg.sweeps import process
from gcseg.sweeps.ledger import Job, Ledger
from tests.running import REPOSITORY, child_environment

STUB = (sys.executable, "-m", "tests.sweeps.stub")
_PROGRAM = f"""
import runpy, sys
from gcseg.sweeps import process
process.COMMAND = {STUB!r}
runpy.run_module("gcseg.train", run_name="__main__")
"""


def use_stubs(monkeypatch) -> None:
    """Have sweeps in this process run stubs, and leave out what other tests show."""
    monkeypatch.setattr(process, "COMMAND", STUB)
    monkeypatch.setattr(write, "write_plot", lambda *_: [])
    monkeypatch.setattr(write, "write_sweep_report", lambda *_: None)


def _with_default_signals() -> None:
    """Undo what a shell in the background and nohup ignore, which is inherited from them."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def begin(
    *overrides: str, cwd: Path, stubs: bool = True, **environment: str
) -> subprocess.Popen[str]:
    """Start a sweep as a process, and group of processes, of its own."""
    program = ["-c", _PROGRAM] if stubs else ["-m", "gcseg.train"]
    return subprocess.Popen(
        [sys.executable, *program, "-m", "accelerator=cpu", *overrides],
        cwd=cwd,
        env=child_environment(**environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_with_default_signals,
    )


def stubs_path() -> str:
    """PYTHONPATH with which jobs find the stub, or the small backbone."""
    return os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])


def notes(cwd: Path, event: str = "start") -> list[dict]:
    """What the stubs noted."""
    path = cwd / "starts.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [note for note in map(json.loads, lines) if note["event"] == event]


def sweep_folder(cwd: Path, root: str = "runs") -> Path:
    (folder,) = (cwd / root / "sweeps").iterdir()
    return folder


def jobs(cwd: Path) -> list[Job]:
    return Ledger(sweep_folder(cwd) / "ledger.sqlite").jobs()


def states(cwd: Path) -> list[str]:
    return [job.state for job in jobs(cwd)]


def wait_until(condition, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
