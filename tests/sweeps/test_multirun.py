"""Sweeps of real trainings, each a process that imports everything: slow."""

import json
import os
import signal
from functools import partial

import pytest

from gcseg.sweeps.ledger import Ledger
from tests.running import TINY, start
from tests.sweeps.commands import begin, jobs, stubs_path, sweep_folder, wait_until

pytestmark = pytest.mark.slow

GRID = ("backbone=r18,r34", "iters=3,40", "tta=none,flip,msflip", "devices=2", "val_every=2")


def options(data):
    return {"GCSEG_DATA": str(data), "PYTHONPATH": stubs_path()}


def overrides(*more):
    taken = ("iters=", "val_every=", "accelerator=")
    return [*(word for word in TINY if not word.startswith(taken)), *more, "timing=none"]


def trainings(cwd):
    return sorted(path for path in (cwd / "runs").iterdir() if path.name != "sweeps")


def begun(cwd, count):
    return len(list(cwd.glob("runs/*/checkpoints/last.ckpt"))) >= count


def test_the_grid_with_two_devices_each(data, tmp_path):
    """Killed in a training, with its processes or alone, and given again: nothing is done twice."""
    for group, wanted in ((True, 2), (False, 3)):  # trainings that have a checkpoint
        sweep = begin(*overrides(*GRID), cwd=tmp_path, stubs=False, **options(data))
        wait_until(partial(begun, tmp_path, wanted), 400)
        (os.killpg if group else os.kill)(sweep.pid, signal.SIGKILL)
        sweep.communicate()
    before = {path: path.stat().st_mtime for path in tmp_path.glob("runs/*/checkpoints/best.ckpt")}
    finished = {path.parent for path in tmp_path.glob("runs/*/results.json")}
    done = start("train", "-m", "accelerator=cpu", *overrides(*GRID), cwd=tmp_path, **options(data))
    assert done.returncode == 0, done.stderr
    runs = trainings(tmp_path)
    assert len(runs) == 4
    for run in runs:
        results = json.loads((run / "results.json").read_text())
        assert list(results["evaluations"]) == ["none", "flip", "msflip"]
        if run in finished:
            best = run / "checkpoints" / "best.ckpt"
            assert best.stat().st_mtime == before[best]
    assert [job.state for job in jobs(tmp_path)] == ["done"] * 12
    for job in jobs(tmp_path):
        (mode,) = job.settings["modes"]
        results = json.loads((tmp_path / job.run / "results.json").read_text())
        assert job.evaluations == {mode: results["evaluations"][mode]}
    reports = Ledger(sweep_folder(tmp_path) / "ledger.sqlite").reports()
    assert len(reports) == 12 and all(len(one) >= 2 for one in reports.values())


def test_a_job_that_crashes(data, tmp_path):
    """The others' results are there."""
    done = start(
        "train",
        *("-m", "accelerator=cpu", *overrides("iters=2", "val_every=1", "optim.lr=0.01,1e30")),
        cwd=tmp_path,
        **options(data),
    )
    assert done.returncode == 1
    well, badly = jobs(tmp_path)
    assert (well.state, badly.state) == ("done", "failed")
    assert well.miou is not None and "NaN or infinity" in badly.error
    assert badly.error in done.stdout + done.stderr
