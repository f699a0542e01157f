"""The commands in this process: a fresh one would spend seconds on imports."""

from __future__ import annotations

import contextlib
import io
import os
import runpy
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from unittest import mock

import pytest
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from gcseg.config.compose import compose as config_compose

REPOSITORY = Path(__file__).resolve().parent.parent

SCENES = (
    "dataset.reader.train=6",
    "dataset.reader.val=3",
    "dataset.reader.height=64",
    "dataset.reader.width=96",
)
SMALL = (
    *("dataset.crop.height=64", "dataset.crop.width=64"),
    *("head.channels=16", "batch_size=2", "num_workers=0", "accelerator=cpu", "report=false"),
)
TINY = (
    "backbone._target_=tests.tiny.backbone",
    *SMALL,
    *SCENES,
    *("iters=3", "val_every=2", "log_every=1"),
)
"""A training of a second, without its report."""


TRUSTING = (
    *("eval", "predict", "attention", "report", "export", "benchmark", "submit"),
    *("publish", "verify", "demo"),
)
"""Commands that call what a training was made with, if they are told to trust it."""


@dataclass(frozen=True)
class Outcome:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line of a failed command."""
        assert self.status == 1, self
        lines = self.err.splitlines()
        assert len(lines) == 1 and lines[0].startswith("error: "), self.err
        return lines[0].removeprefix("error: ")


def run(command: str, *overrides: str, cwd: Path, **environment: str) -> Outcome:
    """Run `python -m gcseg.<command>` in this process, which it leaves as it was.

    Trainings of the tests are trusted, as most have a backbone that is not gcseg's own; say
    `trust=false` where a file is a stranger's.
    """
    named = ("checkpoint=", "run=", "published=", "folder=")
    of_a_training = any(one.startswith(named) for one in overrides)
    if command in TRUSTING and of_a_training and not any("trust" in one for one in overrides):
        overrides = (*overrides, "trust=true")
    out, err = io.StringIO(), io.StringIO()
    status: object = 0
    with (
        mock.patch.dict(os.environ, environment),
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", message=".* found in sys.modules after import of package")
        patch.chdir(cwd)
        patch.setattr(sys, "argv", [f"gcseg.{command}", *overrides])
        patch.delenv("GCSEG_RUN_FOLDER", raising=False)
        if command == "train":
            _count_networks_once(patch)
        try:
            runpy.run_module(f"gcseg.{command}", run_name="__main__")
        except SystemExit as exit:
            status = exit.code
        finally:
            GlobalHydra.instance().clear()
    return Outcome(int(status or 0), out.getvalue(), err.getvalue())


_COSTS: dict[object, object] = {}
"""Costs that were counted in this process, by all that they depend on."""


def _count_networks_once(patch: pytest.MonkeyPatch) -> None:
    """Count the cost of one network in one training once in a process: it takes a tenth of a
    second, as long as the training. `tests/engine/test_cost.py` counts each."""
    from gcseg.engine import summary

    count = summary.training_cost

    def counted_before(model, *arguments, **options):
        learnt = [parameter.requires_grad for parameter in model.parameters()]
        key = repr((model, learnt, arguments, sorted(options.items())))
        if key not in _COSTS:
            _COSTS[key] = count(model, *arguments, **options)
        return _COSTS[key]

    patch.setattr(summary, "training_cost", counted_before)


def start(
    command: str,
    *overrides: str,
    cwd: Path,
    options: tuple[str, ...] = (),
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """Run it as a process of its own."""
    return subprocess.run(
        [sys.executable, *options, "-m", f"gcseg.{command}", *overrides],
        cwd=cwd,
        env=child_environment(**environment),
        capture_output=True,
        text=True,
        timeout=600,
    )


def become(command: str, *overrides: str, cwd: Path, **environment: str) -> NoReturn:
    """Be `python -m gcseg.<command>` in a forked process, which ends with it."""
    status: object = 70
    try:
        os.chdir(cwd)
        os.environ.update(child_environment(**environment))
        sys.stdin, sys.stdout, sys.stderr = (
            os.fdopen(number, mode, 1) for number, mode in enumerate("rww")
        )
        sys.argv = [f"gcseg.{command}", *overrides]
        GlobalHydra.instance().clear()
        try:
            runpy.run_module(f"gcseg.{command}", run_name="__main__")
            status = 0
        except SystemExit as exit:
            status = exit.code or 0
        with contextlib.suppress(OSError):
            sys.stdout.flush()
    finally:
        os._exit(status if isinstance(status, int) else 1)


@contextlib.contextmanager
def running(*overrides: str, cwd: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A training as a process and group of its own, which has saved; killed in the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gcseg.train", *overrides],
        cwd=cwd,
        env=child_environment(**environment),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 120
        while not list(cwd.glob("runs/*/checkpoints/last.ckpt")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stderr.close()


class KilledError(Exception):
    """Stands for a kill."""


@contextlib.contextmanager
def killed_in_step(number: int) -> Iterator[None]:
    """A training in this process, which ends without warning after so many optimizer steps."""
    from gcseg.engine.module import SegmentationModule

    step = SegmentationModule.training_step

    def die(self, *arguments):
        if self.trainer.global_step == number:
            raise KilledError
        return step(self, *arguments)

    with (
        mock.patch.object(SegmentationModule, "training_step", die),
        pytest.raises(KilledError),
    ):
        yield


def child_environment(**environment: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", **environment}


def compose(name: str = "train", *overrides: str) -> DictConfig:
    """A command's configuration as its task gets it."""
    return config_compose(name, list(overrides))


def only_run(root: Path) -> Path:
    """The one run folder below a run root."""
    (folder,) = root.iterdir()
    return folder
