"""A loss that is no number stops a training."""

import re
import subprocess
import sys

import pytest
import torch

from gcseg.engine import module
from tests.commands import TINY, child_environment, only_run


@pytest.fixture
def break_loss(monkeypatch):
    """Have the loss of one forward pass be something else; two cross entropies make a loss."""
    seen = []

    def break_loss(number, value):
        cross_entropy = module.cross_entropy

        def broken(*arguments, **options):
            seen.append(1)
            factor = value if (len(seen) - 1) // 2 == number else 1.0
            return factor * cross_entropy(*arguments, **options)

        monkeypatch.setattr(module, "cross_entropy", broken)

    return break_loss


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_stops_and_says_where(train, break_loss, monkeypatch, tmp_path, value):
    batches = []
    step = module.SegmentationModule.training_step

    def training_step(self, batch, batch_idx):
        batches.append(batch["name"])
        return step(self, batch, batch_idx)

    monkeypatch.setattr(module.SegmentationModule, "training_step", training_step)
    break_loss(3, value)
    error = train("iters=6").error
    folder = only_run(tmp_path / "runs")
    assert len(batches) == 4
    assert error.startswith(f"the loss is {value} after 3 steps, on {', '.join(batches[-1])}: look")
    assert f"runs/{folder.name}/checkpoints/not-finite.ckpt" in error
    saved = torch.load(folder / "checkpoints" / "not-finite.ckpt", weights_only=True)
    assert saved["global_step"] == 3 and saved["gcseg"]["config"]["iters"] == 6
    assert all(tensor.isfinite().all() for tensor in saved["state_dict"].values())
    assert torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 2
    assert not (folder / ".lock").exists()


def test_at_the_first_step_of_accumulation(train, break_loss, tmp_path):
    break_loss(1, float("nan"))
    assert re.match(r"the loss is nan after 0 steps, on \S+: look", train("accumulate=2").error)
    files = (only_run(tmp_path / "runs") / "checkpoints").iterdir()
    assert [path.name for path in files] == ["not-finite.ckpt"]


BROKEN = """
import sys, runpy
from gcseg.engine import module

step = module.SegmentationModule.training_step
def training_step(self, batch, batch_idx):
    loss = step(self, batch, batch_idx)
    return loss * float("nan") if self.trainer.global_step == 1 else loss
module.SegmentationModule.training_step = training_step
runpy.run_module("gcseg.train", run_name="__main__", alter_sys=True)
"""


@pytest.mark.slow
def test_one_of_two_processes(data, tmp_path):
    """The other, which runs without this patch, stops too and knows the pictures."""
    (tmp_path / "broken.py").write_text(BROKEN)
    done = subprocess.run(
        [sys.executable, "broken.py", *TINY, "devices=2"],
        cwd=tmp_path,
        env=child_environment(GCSEG_DATA=str(data)),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert errors == [errors[0]], done.stderr
    assert re.match(r"error: the loss is nan after 1 steps, on \S+: look", errors[0])
