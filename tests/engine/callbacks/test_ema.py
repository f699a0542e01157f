"""The moving average of the weights: its values, continuation, scores and checkpoints."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch

from gcseg.commands.weights import main as weights_command
from gcseg.config.checks import check
from gcseg.engine.callbacks import ema
from gcseg.engine.module import SegmentationModule
from gcseg.errors import ConfigError
from gcseg.predictor.network import TrainedNetwork
from tests.running import (
    TINY,
    child_environment,
    compose,
    killed_in_step,
    only_run,
    running,
    start,
)

EVALUATE = ("num_workers=0", "accelerator=cpu", "tta=none")


def checkpoint(folder, name="last"):
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)


def assert_equal(first, second):
    assert first.keys() == second.keys()
    for key in first:
        assert torch.equal(first[key], second[key]), key


def assert_same_end(first, second, name="last"):
    """Average, weights, optimizer and schedule are equal bit for bit."""
    ours, theirs = (checkpoint(folder, name) for folder in (first, second))
    assert ours["global_step"] == theirs["global_step"]
    for key in ("state_dict", "raw_state_dict"):
        assert_equal(ours[key], theirs[key])
    assert str(ours["optimizer_states"]) == str(theirs["optimizer_states"])
    assert ours["lr_schedulers"] == theirs["lr_schedulers"]


def curve(folder, column):
    with (folder / "metrics.csv").open(newline="") as file:
        return [row[column] for row in csv.DictReader(file)]


def results(folder):
    return json.loads((folder / "results.json").read_text())["evaluations"]


@pytest.fixture
def trajectory(monkeypatch):
    """The weights before the first step and after each."""
    seen = []

    def note(self, *_):
        step = self.trainer.global_step
        if len(seen) == step:
            seen.append({name: value.clone() for name, value in self.state_dict().items()})

    monkeypatch.setattr(SegmentationModule, "on_train_batch_start", note)
    monkeypatch.setattr(SegmentationModule, "on_train_batch_end", note)
    return seen


@pytest.mark.parametrize(("seed", "warmup"), [(0, True), (1, True), (2, False)])
def test_the_average_is_as_defined(train, trajectory, tmp_path, seed, warmup):
    outcome = train(f"seed={seed}", "iters=4", "ema.decay=0.3", f"ema.warmup={warmup}")
    assert outcome.status == 0, outcome.err
    assert "validation scores the moving average of the weights, decay 0.3\n" in outcome.out
    saved = checkpoint(only_run(tmp_path / "runs"))
    assert len(trajectory) == 5
    assert_equal(saved["raw_state_dict"], trajectory[-1])
    for name, value in saved["state_dict"].items():
        expected = trajectory[0][name].double()
        for step in range(1, 5):
            decay = min(0.3, (1 + step) / (10 + step)) if warmup else 0.3
            expected = decay * expected + (1 - decay) * trajectory[step][name]
        if name.endswith("num_batches_tracked"):
            expected = torch.tensor(4)
        else:
            assert not torch.equal(value, trajectory[-1][name])
        torch.testing.assert_close(value, expected.to(value.dtype))


def test_the_training_itself_stays_as_it_was(train, training, tmp_path):
    outcome = train("ema.decay=0.9", "accumulate=1")
    assert outcome.status == 0, outcome.err
    folder = only_run(tmp_path / "runs")
    assert folder.name != training.folder.name
    plain = checkpoint(training.folder)
    assert "raw_state_dict" not in plain
    assert_equal(checkpoint(folder)["raw_state_dict"], plain["state_dict"])
    outcome = train("ema.warmup=false", "run_root=off", "skip_not_finite=3")
    assert only_run(tmp_path / "off").name == training.folder.name, "off, it names no training"


@pytest.mark.slow
def test_a_decay_and_its_warm_up_name_trainings(train, tmp_path):
    for overrides in ((), ("ema.decay=0.9",), ("ema.decay=0.8",),
                      ("ema.decay=0.9", "ema.warmup=false")):  # fmt: skip
        outcome = train("iters=1", *overrides)
        assert outcome.status == 0, outcome.err
    assert len(list((tmp_path / "runs").iterdir())) == 4


LONG = ("iters=6", "head.dropout=0.5", "ema.decay=0.9")


@pytest.mark.parametrize(
    ("seed", "accumulate"), [(0, 1), pytest.param(1, 2, marks=pytest.mark.slow)]
)
def test_an_interrupted_training_goes_on(train, monkeypatch, tmp_path, seed, accumulate):
    overrides = (*LONG, f"seed={seed}", f"accumulate={accumulate}")
    assert train(*overrides, "run_root=whole").status == 0
    with killed_in_step(5):
        train(*overrides)
    outcome = train(*overrides)
    assert outcome.status == 0, outcome.err
    whole, folder = only_run(tmp_path / "whole"), only_run(tmp_path / "runs")
    assert_same_end(folder, whole)
    assert_same_end(folder, whole, "best")
    for column in ("train/loss", "val/miou"):
        assert curve(folder, column) == curve(whole, column)


def test_how_often_it_is_validated_changes_nothing(train, tmp_path):
    for every in (1, 4):
        assert train(*LONG, f"val_every={every}", f"run_root=every-{every}").status == 0
    assert_same_end(*(only_run(tmp_path / every) for every in ("every-1", "every-4")))


def test_saved_in_the_middle_of_a_validation(train, monkeypatch, tmp_path):
    step = SegmentationModule.validation_step

    def save(self, batch, batch_idx):
        if self.trainer.state.fn == "fit" and batch_idx == 1:
            self.trainer.save_checkpoint(tmp_path / f"middle-{self.trainer.global_step}.ckpt")
        step(self, batch, batch_idx)

    monkeypatch.setattr(SegmentationModule, "validation_step", save)
    assert train("ema.decay=0.9").status == 0
    last = checkpoint(only_run(tmp_path / "runs"))
    middle = torch.load(tmp_path / "middle-3.ckpt", weights_only=True)
    for key in ("state_dict", "raw_state_dict"):
        assert_equal(middle[key], last[key])


@pytest.fixture
def averaged(train, tmp_path):
    """A finished training with an average far from its weights."""
    outcome = train("ema.decay=0.999", "ema.warmup=false", "optim.lr=0.05", "iters=6")
    assert outcome.status == 0, outcome.err
    return only_run(tmp_path / "runs")


def test_the_average_is_what_is_scored(run, averaged):
    best = max(float(miou) for miou in curve(averaged, "val/miou") if miou)
    assert results(averaged)["none"]["miou"] == pytest.approx(best)
    for overrides in ((), ("weights=ema",), ("weights=raw",)):
        outcome = run("eval", f"checkpoint={averaged}", *EVALUATE, *overrides)
        assert outcome.status == 0, outcome.err
    scores = results(averaged)
    assert list(scores) == ["none", "none@raw"]
    assert scores["none"]["miou"] == pytest.approx(best)
    assert scores["none@raw"]["miou"] != scores["none"]["miou"]
    assert scores["none@raw"]["checkpoint"] == "best.ckpt"


def test_scores_again_of_the_best_after_a_later_step(train, run, monkeypatch, tmp_path):
    """The average of the last step must not take the place of the best checkpoint's."""
    scores = iter([0.9, 0.1, 0.2])
    end = SegmentationModule.on_validation_epoch_end

    def declining(self):
        end(self)
        if self.trainer.state.fn == "fit":
            self.log("val/miou", next(scores))

    monkeypatch.setattr(SegmentationModule, "on_validation_epoch_end", declining)
    assert train("ema.decay=0.9", "optim.lr=0.05", "iters=6").status == 0
    folder = only_run(tmp_path / "runs")
    assert checkpoint(folder, "best")["global_step"] == 2
    once = results(folder)["none"]
    monkeypatch.undo()
    assert run("eval", f"checkpoint={folder}", *EVALUATE).status == 0
    assert results(folder)["none"]["class_iou"] == once["class_iou"]


def test_raw_and_average_are_predicted_with(run, averaged, monkeypatch):
    used = []
    predict = TrainedNetwork.predict

    def note(self, *given, **options):
        state = self.model.state_dict()
        used.append({f"model.{name}": value.clone() for name, value in state.items()})
        return predict(self, *given, **options)

    monkeypatch.setattr(TrainedNetwork, "predict", note)
    for kind in ("null", "ema", "raw"):
        outcome = run("predict", f"checkpoint={averaged}", "accelerator=cpu", "limit=1",
                      f"weights={kind}")  # fmt: skip
        assert outcome.status == 0, outcome.err
    best = checkpoint(averaged, "best")
    assert_equal(used[0], best["state_dict"])
    assert_equal(used[1], best["state_dict"])
    assert_equal(used[2], best["raw_state_dict"])


def test_another_training_starts_from_the_average(train, averaged, trajectory):
    outcome = train(f"checkpoint={averaged}", "iters=1", "run_root=second")
    assert outcome.status == 0, outcome.err
    assert_equal(trajectory[0], checkpoint(averaged, "best")["state_dict"])


@pytest.mark.parametrize("command", ["eval", "predict"])
def test_weights_that_are_not_there(run, training, command):
    options = ("accelerator=cpu", "tta=none")
    error = run(command, f"checkpoint={training.folder}", *options, "weights=ema").error
    assert "best.ckpt has no averaged weights: leave weights=ema out" in error
    error = run(command, f"checkpoint={training.folder}", *options, "weights=swa").error
    assert error == "weights=swa: use ema or raw, or null"


def test_a_plain_training_has_weights_of_one_kind(run, training):
    error = run("eval", f"checkpoint={training.folder}", *EVALUATE, "weights=raw").error
    assert "is of a training without an average: leave weights=raw out" in error


@pytest.fixture
def real(run, tmp_path):
    """A finished training of a network that the weights commands know."""
    small = ("dataset.reader.train=2", "dataset.reader.val=1", "dataset.reader.height=32",
             "dataset.reader.width=32", "dataset.crop.height=32", "dataset.crop.width=32",
             "head.channels=16", "batch_size=2", "num_workers=0", "accelerator=cpu",
             "backbone.output_stride=32", "iters=1", "ema.decay=0.9",
             "report=false")  # fmt: skip
    outcome = run("train", *small)
    assert outcome.status == 0, outcome.err
    return only_run(tmp_path / "runs")


@pytest.mark.slow
def test_converted(run, real, tmp_path, capsys):
    best = checkpoint(real, "best")
    path = str(real / "checkpoints" / "best.ckpt")
    weights_command(["info", path])
    said = capsys.readouterr().out
    assert (
        "weights     the moving average of a training; the file also holds the raw weights" in said
    )

    average, raw, again = (str(tmp_path / f"{name}.safetensors") for name in ("ema", "raw", "2"))
    weights_command(["convert", path, average])
    assert "weights: the moving average that the training kept" in capsys.readouterr().out
    weights_command(["convert", path, raw, "--weights", "raw"])
    assert "average" not in capsys.readouterr().out
    weights_command(["convert", average, again])
    key = "head.classifier.weight"
    for source, kind, state in ((average, "ema", "state_dict"), (raw, "raw", "raw_state_dict"),
                                (again, "ema", "state_dict")):  # fmt: skip
        tensors = safetensors.torch.load_file(source)
        assert torch.equal(tensors[key], best[state][f"model.{key}"])
        weights_command(["info", source])
        assert ("moving average" in capsys.readouterr().out) == (kind == "ema")
        outcome = run("eval", f"checkpoint={source}", *EVALUATE, f"weights={kind}")
        assert outcome.status == 0, outcome.err
    error = run("eval", f"checkpoint={average}", *EVALUATE, "weights=raw").error
    assert "ema.safetensors has only the averaged weights: leave weights=raw out" in error
    without = str(training_without(real))
    for kind, message in (
        ("ema", "has no averaged weights"),
        ("raw", "training without an averag"),
    ):
        with pytest.raises(SystemExit):
            weights_command(["convert", without, f"{raw}.ckpt", "--weights", kind])
        assert message in capsys.readouterr().err


def training_without(folder: Path) -> Path:
    """The checkpoint as of a training that kept no average."""
    content = checkpoint(folder, "best")
    del content["raw_state_dict"]
    content["gcseg"]["config"]["ema"]["decay"] = None
    path = folder / "plain.ckpt"
    torch.save(content, path)
    return path


@pytest.mark.parametrize("value", ["0", "1", "-0.5", "2", "true", "often"])
def test_what_no_decay_is(value):
    with pytest.raises(ConfigError, match=r"^ema\.decay=\S+: give a number between 0 and 1"):
        check(compose("train", f"ema.decay={value}"))


def test_no_settings_at_all(train):
    assert train("ema=null").error == "ema=null: set ema.decay, ema.warmup"


def test_the_warm_up():
    average = ema.MovingAverage(0.999)
    assert average.decay_at(1) == pytest.approx(2 / 11)
    assert average.decay_at(90) == pytest.approx(0.91)
    assert average.decay_at(10**6) == 0.999
    assert ema.MovingAverage(0.999, warmup=False).decay_at(1) == 0.999


@pytest.mark.slow
def test_killed_in_the_middle(data, tmp_path):
    overrides = (*TINY, "iters=200", "val_every=5", "head.dropout=0.5", "ema.decay=0.99")
    with running(*overrides, cwd=tmp_path, GCSEG_DATA=str(data)):
        pass
    assert 0 < checkpoint(only_run(tmp_path / "runs"))["global_step"] < 200
    for root in ("runs", "whole"):
        done = start("train", *overrides, f"run_root={root}", cwd=tmp_path, GCSEG_DATA=str(data))
        assert done.returncode == 0, done.stderr
    assert_same_end(only_run(tmp_path / "runs"), only_run(tmp_path / "whole"))


@pytest.mark.slow
def test_two_processes(data, tmp_path):
    """Interrupted and gone on with, and the average belongs to the weights that are saved."""
    overrides = (*TINY, *LONG, "ema.warmup=false", "devices=2", "val_every=2")
    script = tmp_path / "die.py"
    script.write_text(DIE)
    options = {"cwd": tmp_path, "capture_output": True, "text": True, "timeout": 300}
    environment = child_environment(GCSEG_DATA=str(data))
    done = subprocess.run([sys.executable, str(script), *overrides], env=environment, **options)
    assert done.returncode == 1 and "KilledError" in done.stderr, done.stderr
    assert checkpoint(only_run(tmp_path / "runs"))["global_step"] == 4
    for root in ("runs", "whole"):
        done = start("train", *overrides, f"run_root={root}", cwd=tmp_path, GCSEG_DATA=str(data))
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("validation scores the moving average") == 1
    folder = only_run(tmp_path / "runs")
    assert_same_end(folder, only_run(tmp_path / "whole"))
    once = results(folder)["none"]
    done = start(
        "eval", f"checkpoint={folder}", "trust=true", *EVALUATE, cwd=tmp_path, GCSEG_DATA=str(data)
    )
    assert done.returncode == 0, done.stderr
    assert results(folder)["none"]["class_iou"] == once["class_iou"]


DIE = """
import runpy
from gcseg.engine import module

class KilledError(Exception):
    pass

step = module.SegmentationModule.training_step
def training_step(self, batch, batch_idx):
    if self.trainer.global_step == 5:
        raise KilledError
    return step(self, batch, batch_idx)
module.SegmentationModule.training_step = training_step
runpy.run_module("gcseg.train", run_name="__main__", alter_sys=True)
"""
