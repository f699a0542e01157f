"""python -m gcseg.selftest: prove on this machine what the documentation promises."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gcseg.commands.selftest.overhead import overhead
from gcseg.errors import ConfigError, GcsegError, TrainingError
from gcseg.runs.folder import RunFolder
from gcseg.runs.shown import shown_curves
from gcseg.system.text import say

HELP = """Test on this machine, with your settings, what the documentation promises.

  python -m gcseg.selftest resume [steps=20] [kills=5] [kill_seed=0] [SETTINGS]
  python -m gcseg.selftest overhead [SETTINGS]

Tests:

  resume  Trains a few steps without interruption. Then trains again, is killed at random moments,
          and resumes after each kill with the same command. Compares weights, optimizer,
          schedule, best score and curves bit for bit. Exits with status 0 if they are equal,
          1 if not.
            steps=20      optimizer steps
            kills=5       number of kills; a third of them come while a checkpoint is written
            kill_seed=0   random seed of the moments
          SETTINGS are those of gcseg.train, such as backbone=r50 dataset=cityscapes devices=2.
          Without any, it trains a small network on drawn scenes. It writes into a new folder
          below run_root= or TMPDIR, and removes that folder at the end.

  overhead  Trains once, by default with logger=wandb iters=100 val_every=50, and prints the share
          of the time that logging takes. It removes the files of the training at the end.
"""

SMALL = ("small=demo", "dataset.reader.train=16", "dataset.reader.val=4")
"""Default settings of the training."""


def main(arguments: Sequence[str]) -> int:
    """Run a test; return the exit status."""
    if not arguments or {"-h", "--help"} & set(arguments):
        say(*HELP.splitlines())
        return 0
    name, *rest = arguments
    try:
        if name not in TESTS:
            raise ConfigError(f"there is no test {name!r}", f"use one of {', '.join(TESTS)}")
        return TESTS[name](rest)
    except GcsegError as error:
        say(f"error: {error}", error=True)
    except KeyboardInterrupt:
        say("interrupted", error=True)
        return 130
    return 1


def resume(arguments: Sequence[str]) -> int:
    """Compare an uninterrupted training with one that is killed again and again.

    Raises:
        ConfigError: An option is wrong.
        TrainingError: A training failed by itself.
    """
    options = {"steps": 20, "kills": 5, "kill_seed": 0}
    settings = []
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key not in options:
            settings.append(argument)
        elif not value.isdecimal() or (key == "steps" and int(value) < 2):
            raise ConfigError(argument, "give a whole number, for steps 2 or more")
        else:
            options[key] = int(value)
    steps, kills = options["steps"], options["kills"]
    settings = settings or list(SMALL)
    given = {setting.partition("=")[0].lstrip("+") for setting in settings}
    on_gpu = uses_gpu(settings)
    if on_gpu and "trainer.deterministic" not in given:
        say("on a GPU: +trainer.deterministic=warn CUBLAS_WORKSPACE_CONFIG=:4096:8")
        settings.append("+trainer.deterministic=warn")
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    usual = {"val_every": max(1, steps // 5), "log_every": 1, "tta": "none", "report": "false"}
    settings += [f"{key}={value}" for key, value in usual.items() if key not in given]
    roots = [s.removeprefix("run_root=") for s in settings if s.startswith("run_root=")]
    below = Path(roots[-1] if roots else tempfile.gettempdir())
    below.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="gcseg-selftest-", dir=below)).absolute()
    settings += [f"iters={steps}", f"run_root={folder / 'runs'}"]
    training = Training(tuple(settings), folder)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up then, too
    try:
        say(f"{steps} steps without interruption (output: {training.log})")
        start = time.monotonic()
        training.run()
        took = time.monotonic() - start
        say(f"took {took:.0f} s; now with {kills} kills, which takes longer")
        # Paths are part of a checkpoint: the other training takes the same ones.
        undisturbed = training.run_folder().parent.rename(folder / "undisturbed")
        moments = random.Random(options["kill_seed"])
        made = training.run_with_kills(steps, kills, moments)
        say(f"{steps} steps with {made} kills")
        return report(undisturbed / training.run_folder().name, training.run_folder(), on_gpu)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        signal.signal(signal.SIGTERM, before)


def uses_gpu(settings: Sequence[str]) -> bool:
    """Return whether a training with these settings would run on a GPU."""
    import torch

    return "accelerator=cpu" not in settings and torch.cuda.is_available()


@dataclass(frozen=True)
class Training:
    """A training in child processes.

    Args:
        settings: Settings of gcseg.train.
        folder: Folder of its run root `runs` and its output.
    """

    settings: tuple[str, ...]
    folder: Path

    @property
    def log(self) -> Path:
        """Output file of the newest child."""
        return self.folder / "output.log"

    def run_folder(self) -> Path:
        """The only run folder."""
        return next(path for path in (self.folder / "runs").iterdir() if path.name != "sweeps")

    def run(self) -> None:
        """Train to the end.

        Raises:
            TrainingError: The training failed.
        """
        child = self._start()
        try:
            child.wait()
        finally:
            _kill(child)
        self._check(child)

    def run_with_kills(self, steps: int, kills: int, moments: random.Random) -> int:
        """Train to the end with kills on the way; return the number of kills.

        Raises:
            TrainingError: The training failed without being killed.
        """
        made = 0
        for number, moment in enumerate(sorted(moments.uniform(0, steps) for _ in range(kills))):
            child = self._start()
            try:
                self._wait(child, moment, while_writing=number % 3 == 2)
            finally:
                _kill(child)
            if child.returncode == -signal.SIGKILL:
                made += 1
                say(f"killed after step {self._steps_done()}")
            self._check(child)
        self.run()
        return made

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log.open("wb") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "gcseg.train", *self.settings],
                stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip

    def _wait(self, child: subprocess.Popen[bytes], moment: float, *, while_writing: bool) -> None:
        """Wait for a moment, in steps; then perhaps until a checkpoint is being written."""
        began = time.monotonic()
        first = self._steps_done()
        while child.poll() is None and self._steps_done() < int(moment):
            time.sleep(0.005)
        done = max(1, self._steps_done() - first)
        # Within the step, or between it and the next one.
        end = time.monotonic() + moment % 1 * min(2.0, (time.monotonic() - began) / done)
        while child.poll() is None and time.monotonic() < end:
            time.sleep(0.001)
        while while_writing and child.poll() is None:
            if any((self.folder / "runs").glob("*/checkpoints/.*.partial")):
                return
            time.sleep(0.0005)

    def _steps_done(self) -> int:
        """Number of steps in the curves."""
        with suppress(StopIteration):  # there is no run folder yet
            curves = shown_curves(self.run_folder(), only=["train/loss"])
            return max(curves.get("train/loss", ([], []))[0], default=0)
        return 0

    def _check(self, child: subprocess.Popen[bytes]) -> None:
        if child.returncode not in (0, -signal.SIGKILL):
            lines = self.log.read_text(errors="replace").split("\n")
            last = next((line for line in reversed(lines) if line.strip()), "no output")
            raise TrainingError(
                f"the training ended with status {child.returncode} ({last.strip()})",
                f"try it: python -m gcseg.train {' '.join(self.settings)}",
            )


def _kill(child: subprocess.Popen[bytes]) -> None:
    """Kill a training with all its processes, without a signal that they could handle."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def report(first: Path, second: Path, on_gpu: bool = False) -> int:
    """Print equal and different contents of two run folders; return the exit status."""
    from rich.table import Table

    from gcseg.system.terminal import TextConsole

    table = Table("compared", "bit for bit")
    found = compare(first, second)
    for name, difference in found.items():
        table.add_row(name, "differs" if difference else "equal")
    TextConsole().print(table)
    differences = [difference for difference in found.values() if difference]
    if not differences:
        return 0
    note = "; on a GPU, trainings without interruption may differ as well" if on_gpu else ""
    say(f"error: the trainings differ: {differences[0]}{note}", error=True)
    return 1


def compare(first: Path, second: Path) -> dict[str, str]:
    """Find the first difference of each part of two run folders; empty for equal parts.

    Times are left out.
    """
    found = {}
    parts = {
        "weights": "state_dict",
        "optimizer": "optimizer_states",
        "learning rate schedule": "lr_schedulers",
        "best score and other state": "callbacks",
    }
    for name in ("last.ckpt", "best.ckpt"):
        contents = []
        for folder in (first, second):
            content = load_checkpoint(folder, name)
            content["callbacks"]["RunProgress"].pop("seconds")
            contents.append(content)
        for label, key in parts.items():
            values = [content.pop(key) for content in contents]
            found[f"{name}: {label}"] = difference(values[0], values[1], f"{name}: {key}")
        found[f"{name}: the rest"] = difference(contents[0], contents[1], name)
    lines = [RunFolder(folder).metrics.read_text().splitlines() for folder in (first, second)]
    found["metrics.csv"] = difference(lines[0], lines[1], "metrics.csv: lines")
    scores = []
    for folder in (first, second):
        evaluations = json.loads(RunFolder(folder).results.read_text())["evaluations"]
        scores.append({name: _untimed(record) for name, record in evaluations.items()})
    found["results.json: scores"] = difference(scores[0], scores[1], "results.json")
    return found


def load_checkpoint(folder: Path, name: str) -> dict[str, Any]:
    """Load a checkpoint of a run folder on the CPU."""
    import torch

    path = RunFolder(folder).checkpoints / name
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return content


def _untimed(record: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != "seconds"}


def difference(first: Any, second: Any, where: str) -> str:
    """Describe the first difference of two nested values; empty if equal bit for bit."""
    import torch

    if type(first) is not type(second):
        return f"{where} is {type(first).__name__} and {type(second).__name__}"
    if isinstance(first, torch.Tensor):
        if first.shape != second.shape or first.dtype != second.dtype:
            return f"{where} is {first.dtype} {[*first.shape]} and {second.dtype} {[*second.shape]}"
        bits = [value.contiguous().reshape(-1).view(torch.uint8) for value in (first, second)]
        if torch.equal(*bits):
            return ""
        most = float((first.double() - second.double()).abs().max())
        return f"{where} differs by up to {most:.3g}"
    if isinstance(first, Mapping):
        if list(first) != list(second):
            others = sorted(map(str, set(first) ^ set(second))) or ["their order"]
            return f"{where} has other keys ({', '.join(others)})"
        pairs = ((f"{where}.{key}", first[key], second[key]) for key in first)
    elif isinstance(first, list | tuple):
        if len(first) != len(second):
            return f"{where} has {len(first)} and {len(second)} items"
        pairs = ((f"{where}[{n}]", *pair) for n, pair in enumerate(zip(first, second, strict=True)))
    else:
        both_nan = isinstance(first, float) and math.isnan(first) and math.isnan(second)
        return "" if both_nan or first == second else f"{where} is {first!r} and {second!r}"
    return next(filter(None, (difference(a, b, name) for name, a, b in pairs)), "")


TESTS: dict[str, Callable[[Sequence[str]], int]] = {"resume": resume, "overhead": overhead}
