"""Trainings that are killed again and again end as if nothing had been."""

import contextlib
import os
import signal
from pathlib import Path

import pytest

from gcseg.commands import selftest
from tests.running import SCENES, SMALL, TINY, only_run, running, start

SETTINGS = (
    *("backbone._target_=tests.tiny.backbone", *SMALL, *SCENES),
    *("head.dropout=0.5", "auxiliary_head.dropout=0.1"),
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seed", "overrides"),
    [
        (0, ("num_workers=2",)),
        (1, ("accumulate=2", "batch_size=4", "ema.decay=0.9")),
        (2, ("num_workers=1", "optim=adamw", "val_every=7")),
    ],
)
def test_twenty_kills(data, tmp_path, seed, overrides):
    """At random moments: in steps, in validations, and while a checkpoint is written."""
    done = start(
        *("selftest", "resume", *SETTINGS, *overrides, f"run_root={tmp_path / 'runs'}"),
        *("steps=400", "kills=20", f"kill_seed={seed}"),
        cwd=tmp_path,
        GCSEG_DATA=str(data),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("killed after step") >= 18, "some may come after the end"
    assert not list((tmp_path / "runs").iterdir())


@pytest.mark.slow
def test_two_processes_are_killed(data, tmp_path):
    done = start(
        *("selftest", "resume", *SETTINGS, "devices=2", f"run_root={tmp_path / 'runs'}"),
        *("steps=60", "kills=3"),
        cwd=tmp_path,
        GCSEG_DATA=str(data),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "killed after step" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("to", ["first", "second", "all"])
def test_a_signal_to_processes_of_one_training(data, tmp_path, to):
    """Whichever gets it, all leave at the same step; the same command goes on."""
    overrides = (*TINY, "iters=2000", "val_every=50", "num_workers=1", "devices=2")
    with running(*overrides, cwd=tmp_path, GCSEG_DATA=str(data)) as first:
        if to == "all":
            os.killpg(first.pid, signal.SIGUSR1)
        else:
            os.kill(first.pid if to == "first" else _second(first.pid), signal.SIGUSR1)
        errors = first.communicate(timeout=60)[1].splitlines()
    assert first.returncode == 75, errors
    (line,) = (line for line in errors if line.startswith("stopped by"))
    step = int(line.removeprefix("stopped by SIGUSR1 after step ").partition(":")[0])
    assert 50 <= step < 2000
    folder = only_run(tmp_path / "runs")
    assert selftest.load_checkpoint(folder, "last.ckpt")["global_step"] == step
    assert not (folder / ".lock").exists()


def _second(first):
    """The process of rank 1 that the first one has started."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == first and b"LOCAL_RANK=1\0" in (entry / "environ").read_bytes():
                return int(entry.name)
    raise AssertionError("there is no second process")
