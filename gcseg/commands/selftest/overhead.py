"""python -m gcseg.selftest overhead: the share of a training's time that logging takes."""

from __future__ import annotations

import pstats
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

USUAL = {"iters": "100", "val_every": "50", "tta": "none", "report": "false", "logger": "wandb"}
"""Default settings of the training."""

PARTS = {
    "loggers, each logged step": [("logger_connector.py", "log_metrics")],
    "gradient norm and memory": [("step_metrics.py", "on_before_optimizer_step")],
    "panel of pictures, each validation": [
        ("panel.py", "on_validation_epoch_end"),
        ("panel.py", "on_validation_batch_end"),
    ],
}
"""Timed files and functions, none of which calls another one of the list."""

WHOLE = [("training_epoch_loop.py", "run")]
"""Function that runs all steps, and the validations between them."""


def overhead(settings: Sequence[str]) -> int:
    """Train under Python's profiler, and print the share of the time that logging takes.

    The profiler slows Python down, and with it logging more than the network: the shares are
    upper bounds. Everything is measured in one run.

    Args:
        settings: Settings of gcseg.train; if empty, a short training on drawn scenes.

    Returns:
        The exit status; not 0 if the training failed, which has printed the reason.
    """
    given = {setting.partition("=")[0] for setting in settings}
    settings = [*settings, *(f"{key}={value}" for key, value in USUAL.items() if key not in given)]
    with tempfile.TemporaryDirectory(prefix="gcseg-overhead-") as name:
        folder = Path(name)
        profile, runs = folder / "profile", folder / "runs"
        command = [sys.executable, "-m", "cProfile", "-o", str(profile), "-m", "gcseg.train"]
        child = subprocess.run([*command, *settings, f"run_root={runs}"], check=False)
        # Under the profiler a failed training, which has printed the reason, ends with status 0.
        if child.returncode or not list(runs.glob("*/results.json")):
            return child.returncode or 1
        print_shares(shares(pstats.Stats(str(profile))))
    return 0


def shares(profile: pstats.Stats) -> dict[str, tuple[int, float, float]]:
    """Calls of each of `PARTS`, its seconds, and its fraction of the training's time.

    Args:
        profile: Profile of the process.
    """
    whole = _seconds(profile, WHOLE)[1]
    found = {}
    for part, functions in PARTS.items():
        calls, seconds = _seconds(profile, functions)
        found[part] = calls, seconds, seconds / whole
    return found


def _seconds(profile: pstats.Stats, functions: Sequence[tuple[str, str]]) -> tuple[int, float]:
    """Calls of the first of some functions that was called, and the seconds of all of them."""
    calls, seconds = 0, 0.0
    for (file, _, function), (_, count, _, cumulative, _) in profile.stats.items():  # type: ignore[attr-defined]
        if (Path(file).name, function) in functions:
            calls, seconds = calls or count, seconds + cumulative
    return calls, seconds


def print_shares(found: Mapping[str, tuple[int, float, float]]) -> None:
    """Print the shares as a table."""
    from rich.table import Table

    from gcseg.system.terminal import TextConsole

    title = "largest share of training and validation time that logging takes"
    table = Table("part", "calls", "seconds", "% of the time", title=title)
    for part, (calls, seconds, share) in found.items():
        table.add_row(part, str(calls), f"{seconds:.3f}", f"{100 * share:.2f}")
    total = [sum(column) for column in zip(*found.values(), strict=True)]
    table.add_section()
    table.add_row("all", "", f"{total[1]:.3f}", f"{100 * total[2]:.2f}")
    TextConsole().print(table)
