"""A loss that is no number stops a training, or its step is left out."""

import copy
import re
import subprocess
import sys

import pytest
import torch

from gcseg.engine import module
from gcseg.engine.callbacks.ema import MovingAverage
from gcseg.losses import CrossEntropy
from tests.running import TINY, child_environment, only_run


@pytest.fixture
def break_loss(monkeypatch):
    """Have the loss of one forward pass be something else; two cross entropies make a loss."""
    seen = []

    def break_loss(number, value):
        forward = CrossEntropy.forward

        def broken(*arguments, **options):
            seen.append(1)
            factor = value if (len(seen) - 1) // 2 == number else 1.0
            return factor * forward(*arguments, **options)

        monkeypatch.setattr(CrossEntropy, "forward", broken)

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
    assert error.startswith(f"the loss is {value} in step 4, on {', '.join(batches[-1])}: look")
    assert f"runs/{folder.name}/checkpoints/not-finite.ckpt" in error
    saved = torch.load(folder / "checkpoints" / "not-finite.ckpt", weights_only=True)
    assert saved["global_step"] == 3 and saved["gcseg"]["config"]["iters"] == 6
    assert all(tensor.isfinite().all() for tensor in saved["state_dict"].values())
    assert torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 2
    assert not (folder / ".lock").exists()


def test_at_the_first_step_of_accumulation(train, break_loss, tmp_path):
    break_loss(1, float("nan"))
    assert re.match(r"the loss is nan in step 1, on \S+: look", train("accumulate=2").error)
    files = (only_run(tmp_path / "runs") / "checkpoints").iterdir()
    assert [path.name for path in files] == ["not-finite.ckpt"]


@pytest.fixture
def break_images(monkeypatch):
    """Have the images of some passes, counted from the start of a training, be no numbers."""

    def break_images(*passes, accumulate=1):
        step = module.SegmentationModule.training_step

        def training_step(self, batch, batch_idx):
            number = self.trainer.global_step * accumulate + batch_idx % accumulate
            if number in passes:
                batch = {**batch, "image": batch["image"] * float("nan")}
            return step(self, batch, batch_idx)

        monkeypatch.setattr(module.SegmentationModule, "training_step", training_step)

    return break_images


@pytest.fixture
def states(monkeypatch):
    """Weights, statistics, optimizer's state and learning rate after each step."""
    seen = {}

    def note(self, *_):
        if self.trainer.global_step in seen:  # the first passes of the next step
            return
        (optimizer,) = self.trainer.optimizers
        state = optimizer.state_dict()
        seen[self.trainer.global_step] = copy.deepcopy(
            (dict(self.state_dict()), state["state"], state["param_groups"][0]["lr"])
        )

    monkeypatch.setattr(module.SegmentationModule, "on_train_batch_end", note)
    return seen


def assert_equal(first, second):
    """Nested dictionaries are equal, tensors bit for bit."""
    if isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first:
            assert_equal(first[key], second[key])
    elif isinstance(first, torch.Tensor):
        assert torch.equal(first, second)
    else:
        assert first == second


def last(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


@pytest.mark.parametrize(
    ("seed", "accumulate", "bad", "overrides"),
    [
        (0, 1, (2,), ()),
        (1, 1, (2,), ("optim=adamw", "+trainer.gradient_clip_val=1")),
        (2, 2, (4,), ()),
        (3, 2, (5,), ("ema.decay=0.9",)),
        (4, 2, (4, 5), ("precision=bf16-mixed",)),
    ],
)
def test_a_step_is_left_out(
    train, break_images, states, tmp_path, seed, accumulate, bad, overrides
):
    """Before the third step and after it, all is the same but the learning rate."""
    break_images(*bad, accumulate=accumulate)
    outcome = train(
        *("iters=4", f"seed={seed}", f"accumulate={accumulate}", "skip_not_finite=1"),
        *("val_every=3", *overrides),
    )
    assert outcome.status == 0, outcome.err
    warnings = outcome.err.splitlines()
    assert len(warnings) == len(bad)
    assert re.fullmatch(
        r"warning: the loss is nan in step 3, on \S+(, \S+)?: step skipped \(1 of at most 1\)",
        warnings[0],
    )
    assert all(line.endswith(": part of the same step") for line in warnings[1:])
    (before, optimizer, rate), (after, same, next_rate) = states[2], states[3]
    assert optimizer
    assert_equal(before, after)
    assert_equal(optimizer, same)
    assert next_rate < rate
    weight = "model.backbone.stages.0.0.weight"
    assert not torch.equal(states[4][0][weight], after[weight])
    assert all(value.isfinite().all() for value in states[4][0].values())

    saved = last(only_run(tmp_path / "runs"))
    assert saved["global_step"] == 4
    assert saved["callbacks"]["FiniteLoss"] == {"skipped": 1}


def test_the_average_waits_too(train, break_images, monkeypatch, tmp_path):
    seen = {}

    def note(self, *_):
        callback = next(c for c in self.trainer.callbacks if isinstance(c, MovingAverage))
        checkpoint = {"state_dict": {}}
        callback.on_save_checkpoint(self.trainer, self, checkpoint)
        seen[self.trainer.global_step] = copy.deepcopy(checkpoint["state_dict"])

    monkeypatch.setattr(module.SegmentationModule, "on_train_batch_end", note)
    break_images(2)
    assert train("iters=4", "skip_not_finite=1", "ema.decay=0.9").status == 0
    assert_equal(seen[2], seen[3])
    weight = "model.backbone.stages.0.0.weight"
    for first, second in ((1, 2), (3, 4)):
        assert not torch.equal(seen[first][weight], seen[second][weight])


def test_one_too_many(train, break_images, tmp_path):
    """What is saved then is the state before that step, without a trace of it."""
    break_images(1, 3, 4)
    outcome = train("iters=6", "skip_not_finite=2", "val_every=1")
    *warnings, error = outcome.err.splitlines()
    assert outcome.status == 1
    assert [line[-22:] for line in warnings] == ["skipped (1 of at most 2)"[-22:],
                                                 "skipped (2 of at most 2)"[-22:]]  # fmt: skip
    assert error.startswith("error: the loss is nan in step 5, after 2 skipped steps, on ")
    assert "skip_not_finite=12 (" in error
    folder = only_run(tmp_path / "runs")
    saved = torch.load(folder / "checkpoints" / "not-finite.ckpt", weights_only=True)
    assert_equal(saved["state_dict"], last(folder)["state_dict"])
    assert saved["global_step"] == last(folder)["global_step"] == 4
    assert not (folder / "results.json").exists()

    # The same training goes on where more is allowed.
    outcome = train("iters=6", "skip_not_finite=3", "val_every=1")
    assert outcome.status == 0, outcome.err
    assert outcome.err.endswith("step skipped (3 of at most 3)\n")
    assert only_run(tmp_path / "runs") == folder
    assert last(folder)["callbacks"]["FiniteLoss"] == {"skipped": 3}


@pytest.mark.parametrize("killed_at", [pytest.param(3, marks=pytest.mark.slow), 4])
def test_interrupted_before_and_after(train, break_images, monkeypatch, tmp_path, killed_at):
    """The count goes on with the weights: killed before the checkpoint after the step, or later."""
    overrides = ("iters=6", "skip_not_finite=2", "head.dropout=0.5")
    break_images(2, 4)
    assert train(*overrides, "run_root=whole").status == 0
    with monkeypatch.context() as patch:
        step = module.SegmentationModule.training_step

        def die(self, *arguments):
            if self.trainer.global_step == killed_at:
                raise KeyError("killed")
            return step(self, *arguments)

        patch.setattr(module.SegmentationModule, "training_step", die)
        with pytest.raises(KeyError):
            train(*overrides)
    outcome = train(*overrides)
    assert outcome.status == 0, outcome.err
    assert outcome.err.endswith("step skipped (2 of at most 2)\n")
    ours, theirs = (last(only_run(tmp_path / root)) for root in ("runs", "whole"))
    for key in ("state_dict", "optimizer_states", "lr_schedulers"):
        assert str(ours[key]) == str(theirs[key])
    assert_equal(ours["state_dict"], theirs["state_dict"])
    assert ours["callbacks"]["FiniteLoss"] == {"skipped": 2}


def test_good_steps_are_as_without(train, training, tmp_path):
    assert train("skip_not_finite=5", "tta=all").status == 0
    folder = only_run(tmp_path / "runs")
    assert folder.name == training.folder.name
    assert_equal(last(folder)["state_dict"], last(training.folder)["state_dict"])


@pytest.mark.parametrize("value", ["-1", "0.5", "true", "null"])
def test_what_no_number_of_steps_is(train, value):
    assert train(f"skip_not_finite={value}").error.startswith("skip_not_finite=")


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
    assert re.match(r"error: the loss is nan in step 2, on \S+: look", errors[0])

    done = subprocess.run(
        [sys.executable, "broken.py", *TINY, "devices=2", "skip_not_finite=1", "ema.decay=0.9"],
        cwd=tmp_path,
        env=child_environment(GCSEG_DATA=str(data)),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("step skipped (1 of at most 1)") == 1
    (folder,) = (path for path in (tmp_path / "runs").iterdir() if (path / "results.json").exists())
    saved = last(folder)
    assert saved["global_step"] == 3 and saved["callbacks"]["FiniteLoss"] == {"skipped": 1}
    assert all(value.isfinite().all() for value in saved["raw_state_dict"].values())
