"""When training stops and which checkpoint is best: patience, monitor, epochs, limit_val."""

import csv
import json
import math
from types import SimpleNamespace

import pytest
import torch

from gcseg.builders.length import in_steps
from gcseg.engine.monitor import monitor_of
from gcseg.errors import ConfigError
from tests import running
from tests.processes import run_together
from tests.running import TINY, only_run

CLASSES = ("road", "traffic light", "tree/bush")

STOPPING = (
    "optim.lr=0.1", "iters=20", "val_every=1", "patience=2", "monitor=iou/road", "limit_val=2"
)  # fmt: skip
"""A training that stops early."""


def state(folder, name="last"):
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)


def results(folder):
    return json.loads((folder / "results.json").read_text())


def curve(folder, column):
    with (folder / "metrics.csv").open(newline="") as file:
        return [float(row[column]) for row in csv.DictReader(file) if row.get(column)]


def assert_equal_end(ours, theirs):
    for name in ("best", "last"):
        first, second = (state(folder, name) for folder in (ours, theirs))
        assert first["global_step"] == second["global_step"]
        for key, value in first["state_dict"].items():
            assert torch.equal(value, second["state_dict"][key]), key
    assert (ours / "metrics.csv").read_text() == (theirs / "metrics.csv").read_text()


@pytest.fixture(scope="module")
def stopped(data, tmp_path_factory):
    """A training that has stopped early, and what it printed."""
    cwd = tmp_path_factory.mktemp("stopped")
    outcome = running.run("train", *TINY, *STOPPING, cwd=cwd, GCSEG_DATA=str(data))
    assert outcome.status == 0, outcome.err
    return only_run(cwd / "runs"), outcome


def best_step(scores, *, lowest=False):
    found = [score for score in scores if not math.isnan(score)]
    return 1 + scores.index((min if lowest else max)(found))


def test_it_stops(stopped):
    folder, outcome = stopped
    scores = curve(folder, "val/iou/road")
    end = best_step(scores) + 2
    assert len(scores) == end < 20
    assert state(folder)["global_step"] == end == results(folder)["training"]["stopped_at"]
    assert state(folder, "best")["global_step"] == best_step(scores)
    assert f": training stops at step {end} of 20" in outcome.err
    assert "every 1 step, on 2 of the images, best.ckpt by iou/road, stops after 2 valid" in (
        outcome.out
    )
    assert results(folder)["evaluations"]["none"]["images"] == 3, "final scores are of all"


def test_given_again_it_is_only_scored(stopped, run):
    folder, _ = stopped
    again = run("train", *TINY, *STOPPING, cwd=folder.parent.parent)
    assert "is already trained, and is only scored" in again.out


@pytest.mark.parametrize("left", [2, 0])
def test_interrupted_it_stops_at_the_same_step(train, stopped, tmp_path, left):
    """Also if it is killed after the validation that decides, before its scores are written."""
    undisturbed, _ = stopped
    end = results(undisturbed)["training"]["stopped_at"]
    if left:
        with running.killed_in_step(end - left):
            train(*STOPPING)
        assert f"resumes from step {end - left}/20" in train(*STOPPING).out
    else:
        assert train(*STOPPING).status == 0
        folder = only_run(tmp_path / "runs")
        (folder / "results.json").unlink()
        assert f"step {end + 1}/20" not in train(*STOPPING).out
    folder = only_run(tmp_path / "runs")
    assert results(folder)["training"]["stopped_at"] == end
    assert_equal_end(folder, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_several_processes_stop_together(data, tmp_path, strategy):
    given = (*TINY, *STOPPING, "devices=2", f"strategy={strategy}", "monitor=loss", "optim.lr=1")
    outcomes = run_together(2, "train", *given, cwd=tmp_path, GCSEG_DATA=str(data))
    assert [outcome.status for outcome in outcomes] == [0, 0], outcomes
    folder = only_run(tmp_path / "runs")
    losses = curve(folder, "val/loss")
    assert len(losses) == best_step(losses, lowest=True) + 2 < 20
    (folder / "results.json").unlink()  # killed before its scores were written
    outcomes = run_together(2, "train", *given, cwd=tmp_path, GCSEG_DATA=str(data))
    assert [outcome.status for outcome in outcomes] == [0, 0], outcomes
    assert curve(folder, "val/loss") == losses


def test_the_validation_loss(train, run, tmp_path, monkeypatch):
    """It is the mean cross entropy of the labelled pixels, and decides which checkpoint is best."""
    from gcseg.engine.module import SegmentationModule

    found = []
    predict = SegmentationModule.validation_step

    def note(self, batch, index):
        logits = self.model(batch["image"])
        label = batch["label"].long()
        logits = logits[..., : label.shape[-2], : label.shape[-1]]
        loss = torch.nn.functional.cross_entropy(logits, label, ignore_index=255, reduction="none")
        found.append((self.trainer.global_step, loss.sum().item(), (label != 255).sum().item()))
        return predict(self, batch, index)

    monkeypatch.setattr(SegmentationModule, "validation_step", note)
    outcome = train("monitor=loss", "iters=3", "val_every=1", "optim.lr=0.3")
    assert outcome.status == 0, outcome.err
    folder = only_run(tmp_path / "runs")
    losses = curve(folder, "val/loss")
    for step, loss in enumerate(losses, 1):
        sums = [(total, count) for at, total, count in found if at == step][:3]
        wanted = sum(total for total, _ in sums) / sum(count for _, count in sums)
        assert loss == pytest.approx(wanted, rel=1e-5)
    assert state(folder, "best")["global_step"] == best_step(losses, lowest=True)
    assert "  loss " in outcome.out


@pytest.mark.parametrize(
    ("name", "key", "mode"),
    [
        ("miou", "val/miou", "max"),
        ("loss", "val/loss", "min"),
        ("f1/traffic light", "val/f1/traffic light", "max"),
        ("iou/tree/bush", "val/iou/tree/bush", "max"),
    ],
)
def test_what_can_be_monitored(name, key, mode):
    found = monitor_of(name, CLASSES)
    assert (found.key, found.mode) == (key, mode)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "iou/traffic lihgt",
            "there is no class 'traffic lihgt': did you mean traffic light? ",
        ),
        (
            "miuo",
            "monitor=miuo: there is no such score: did you mean miou? use one of loss, ",
        ),
        ("val/miou", "there is no such score: did you mean"),
    ],
)
def test_what_cant(name, told):
    with pytest.raises(ConfigError) as error:
        monitor_of(name, CLASSES)
    assert told in str(error.value)


def test_a_class_that_there_is_not(train, tmp_path):
    assert "there is no class 'raod': did you mean road? use one of road, " in (
        train("monitor=iou/raod").error
    )
    assert not (tmp_path / "runs").exists()


def test_better():
    monitor = monitor_of("miou", CLASSES)
    assert monitor.is_better(0.0, None) and not monitor.is_better(math.nan, None)
    assert monitor.is_better(0.2, 0.1) and not monitor.is_better(0.1, 0.1)
    assert not monitor.is_better(math.nan, 0.1)
    assert monitor_of("loss", CLASSES).is_better(0.1, 0.2)


def test_epochs(train, run, tmp_path):
    """Six images; the training is that of as many steps, and has its name."""
    outcome = train("val_every=100")
    assert outcome.status == 0, outcome.err
    assert "3 steps of 2 images (1 epoch), crop" in outcome.out
    given = [one for one in TINY if not one.startswith("iters=")]
    again = run("train", *given, "val_every=100", "epochs=1")
    assert again.status == 0, again.err
    folder = only_run(tmp_path / "runs")
    assert f"runs/{folder.name} is already trained, and is only scored" in again.out
    assert "epochs: null" in (folder / "config.yaml").read_text()


@pytest.mark.parametrize(
    ("epochs", "images", "batch_size", "steps"),
    [("0.7", 10, 1, 7), ("3", 367, 8, 138), ("1", 3, 4, 1), ("0.01", 10, 8, 1), ("2", 8, 4, 4)],
)
def test_rounded_up_to_steps(monkeypatch, epochs, images, batch_size, steps):
    split = SimpleNamespace(with_labels=lambda: range(images))
    monkeypatch.setattr("gcseg.builders.data.dataset", lambda *_: split)
    cfg = running.compose("train", f"epochs={epochs}", f"batch_size={batch_size}", "iters=5")
    assert in_steps(cfg, [f"epochs={epochs}"])
    assert (cfg.iters, cfg.epochs) == (steps, None)
    assert not in_steps(cfg, ["iters=1"])


def test_the_command_line_takes_precedence_over_a_file():
    cfg = running.compose("train", "epochs=2", "iters=5")
    assert in_steps(cfg, ["iters=5"])
    assert (cfg.iters, cfg.epochs) == (5, None)


def test_both_lengths(train):
    assert train("epochs=2").error == "epochs=2 and iters=3: give one of the two lengths"


def test_a_warm_up_of_epochs(run):
    given = [one for one in TINY if not one.startswith("iters=")]
    told = run("train", *given, "epochs=1", "optim.warmup_iters=4").error
    assert told.startswith("optim.warmup_iters=4 with iters=3: give at most 3")


@pytest.mark.parametrize("value", ["1.5", "0", "-1"])
def test_limits_that_are_none(train, value):
    assert train(f"limit_val={value}").error.startswith(f"limit_val={value}: give a ")
