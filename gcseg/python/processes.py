"""Commands as child processes: what can't run inside another program's process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from omegaconf import DictConfig

from gcseg.config.plain import plain
from gcseg.errors import TrainingError
from gcseg.sweeps.process import JobProcess, Result
from gcseg.system.text import say

SECONDS_BETWEEN_LOOKS = 0.5


def train_in_child(cfg: DictConfig) -> Result:
    """Train as `python -m gcseg.train --resolved` does, and print what it prints.

    Lightning starts the further processes of a training with the command of the first one, which in
    a notebook or a program is another command.

    Args:
        cfg: Checked settings.

    Raises:
        TrainingError: The training fails or is stopped.
        KeyboardInterrupt: Ctrl-C; the training has saved and left.
    """
    with tempfile.TemporaryDirectory(prefix="gcseg-") as folder:
        process = JobProcess(plain(cfg), Path(folder) / "jobs" / "0", Path.cwd(), {})
        printed = 0
        interrupted = False
        try:
            running = True
            while running:
                try:
                    running = process.poll()
                    process.wait(SECONDS_BETWEEN_LOOKS)
                    printed = _print_from(process.log, printed)
                except KeyboardInterrupt:
                    interrupted = True
                    process.stop("interrupted", by=signal.SIGINT)
            result = process.result()
        except BaseException:
            process.kill()
            raise
    if interrupted:
        raise KeyboardInterrupt
    if result.state != "done" or result.run is None:
        raise TrainingError(
            result.error or f"the training was {result.state}",
            "" if result.error else "call gcseg.train again to go on",
        )
    return result


def run_command(command: str, arguments: Sequence[str]) -> tuple[int, str]:
    """Run `python -m gcseg.<command>`, and print what it prints.

    Returns:
        The exit status, and the last line that begins with `error: `, without that.

    Raises:
        KeyboardInterrupt: Ctrl-C; the command has left.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", f"gcseg.{command}", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,  # Ctrl-C is passed on, once
    )
    error = ""
    assert process.stdout is not None
    try:
        for line in process.stdout:
            say(line.rstrip("\n"))
            if line.startswith("error: "):
                error = line.removeprefix("error: ").strip()
        return process.wait(), error
    except BaseException:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        process.wait()
        raise
    finally:
        process.stdout.close()


def _print_from(log: Path, start: int) -> int:
    """Print the whole lines of a log from a place on, and return the place after them."""
    with log.open("rb") as file:
        file.seek(start)
        content = file.read()
    whole = content[: content.rfind(b"\n") + 1]
    for line in whole.decode(errors="replace").splitlines():
        say(line)
    return start + len(whole)
