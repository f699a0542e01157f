"""Whole trainings on drawn scenes: their run folder, determinism, continuation."""

import csv
import functools
import json
import random
import re
import shutil

import numpy as np
import pytest
import torch
import yaml

from gcseg.engine import checkpoints
from gcseg.engine.module import SegmentationModule
from tests.running import (
    SCENES,
    SMALL,
    TINY,
    KilledError,
    killed_in_step,
    only_run,
    running,
    start,
)


def weights(folder, name="last"):
    """The network's parameters and buffers in a checkpoint."""
    content = torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)
    return content["state_dict"]


def assert_equal(first, second):
    assert first.keys() == second.keys()
    for key in first:
        assert torch.equal(first[key], second[key]), key


def curves(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def steps(folder, column="train/loss"):
    return [int(row["step"]) for row in curves(folder) if row[column]]


def results(folder):
    return json.loads((folder / "results.json").read_text())


def trained(outcome, root):
    assert outcome.status == 0, outcome.err
    return only_run(root)


def test_the_run_folder(training):
    folder = training.folder
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    assert files == [
        *("checkpoints/best.ckpt", "checkpoints/last.ckpt", "config.yaml"),
        *("confusion/flip.csv", "confusion/msflip.csv", "confusion/none.csv"),
        *("environment.json", "metrics.csv", "results.json"),
    ]
    assert [path.name for path in training.cwd.iterdir()] == ["runs"], "nothing else is written"

    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert (config["iters"], config["batch_size"], config["dataset"]["name"]) == (3, 2, "scenes")
    assert "${" not in (folder / "config.yaml").read_text()
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["packages"]["torch"] == torch.__version__
    assert environment.keys() >= {"python", "git_commit", "platform", "cpus", "gpus", "command"}


def test_each_mode_has_its_own_confusion_matrix(training):
    evaluations = results(training.folder)["evaluations"]
    matrices = []
    for name, record in evaluations.items():
        with (training.folder / record["confusion"]).open(newline="") as file:
            counts = np.array([row[1:] for row in csv.reader(file)][1:], np.int64)
        right = int(np.trace(counts)) / int(counts.sum())
        assert right == pytest.approx(record["pixel_accuracy"], abs=1e-12), name
        matrices.append(counts)
    assert not all(np.array_equal(matrices[0], other) for other in matrices), "nothing is shown"


def test_results_have_their_documented_shape(training):
    content = results(training.folder)
    assert {key: content[key] for key in ("backbone", "head", "dataset", "iters", "seed")} == {
        "backbone": "r18",
        "head": "gc",
        "dataset": "scenes",
        "iters": 3,
        "seed": 0,
    }
    assert content["name"] == training.folder.name
    times = content["training"]
    assert times["iters"] == 3
    assert times["seconds"] > 0 and times["peak_memory_bytes"] > 1e6
    assert times["images_per_second"] == pytest.approx(6 / times["seconds"], rel=0.01)
    assert list(content["evaluations"]) == ["none", "flip", "msflip"]
    for record in content["evaluations"].values():
        assert (record["split"], record["images"], record["checkpoint"]) == ("val", 3, "best.ckpt")
        present = [iou for iou in record["class_iou"].values() if iou is not None]
        assert len(record["class_iou"]) == 19 and 3 < len(present) < 19
        assert record["miou"] == pytest.approx(sum(present) / len(present))
        assert 0 <= record["miou"] <= record["pixel_accuracy"] <= 1
        assert record["seconds"] > 0


def test_curves(training):
    rows = curves(training.folder)
    assert next(iter(rows[0])) == "step"
    assert set(rows[0]) >= {"train/loss", "train/loss_main", "train/loss_auxiliary",
                            "train/learning_rate", "val/miou", "val/pixel_accuracy"}  # fmt: skip
    assert steps(training.folder) == [0, 1, 2], "every step, as log_every=1"
    assert steps(training.folder, "val/miou") == [1, 2], "at val_every and at the last step"
    first = rows[0]
    total = float(first["train/loss_main"]) + 0.4 * float(first["train/loss_auxiliary"])
    assert float(first["train/loss"]) == pytest.approx(total, rel=1e-5)
    assert float(first["train/learning_rate"]) == pytest.approx(0.01)


def test_checkpoints(training):
    best_miou = max(float(row["val/miou"]) for row in curves(training.folder) if row["val/miou"])
    for name in ("last", "best"):
        path = training.folder / "checkpoints" / f"{name}.ckpt"
        content = torch.load(path, weights_only=True)
        assert content["gcseg"]["config"]["iters"] == 3
        assert len(content["gcseg"]["classes"]) == len(content["gcseg"]["colors"]) == 19
        assert content["global_step"] == 3 or name == "best"
    assert results(training.folder)["evaluations"]["none"]["miou"] == pytest.approx(best_miou)


def test_what_is_printed(training):
    out = training.outcome.out
    assert "step 3/3  loss " in out
    assert "step 2/3  validation  mIoU " in out
    assert "best checkpoint on val" in out and "msflip" in out and "traffic light" in out
    assert f"\nrun: runs/{training.folder.name}\n" in out
    assert training.outcome.err == ""


def test_the_voc_layout(train, tmp_path):
    """Pictures of several sizes, read through the other reader; the context block left out."""
    outcome = train("dataset.reader.layout=voc", "head=fcn", "auxiliary_head=none", "iters=2")
    folder = trained(outcome, tmp_path / "runs")
    assert folder.name.startswith("r18-fcn-scenes-2it-s0-")
    assert results(folder)["evaluations"]["none"]["images"] == 3
    assert "train/loss_auxiliary" not in curves(folder)[0]


def test_a_real_backbone_in_half_precision(run, tmp_path):
    overrides = ("backbone.output_stride=32", "iters=1", "precision=bf16-mixed", "optim=adamw")
    folder = trained(run("train", *overrides, *SMALL, *SCENES), tmp_path / "runs")
    assert sum(tensor.numel() for tensor in weights(folder).values()) > 11e6
    assert results(folder)["training"]["iters"] == 1


def test_same_seed_same_weights(train, training, tmp_path):
    """In another folder, with other workers, validated at other steps."""
    outcome = train("run_root=second", "num_workers=2", "val_every=1", "tta=flip")
    again = trained(outcome, tmp_path / "second")
    assert again.name == training.folder.name
    assert_equal(weights(again), weights(training.folder))
    assert list(results(again)["evaluations"]) == ["flip"]


def test_another_seed_other_weights(train, training, tmp_path):
    other = trained(train("seed=1"), tmp_path / "runs")
    ours, theirs = weights(training.folder), weights(other)
    key = "model.backbone.stages.0.0.weight"
    assert not torch.equal(ours[key], theirs[key])


@pytest.fixture
def batches(monkeypatch):
    """The names in every batch that is trained on."""
    seen = []
    step = SegmentationModule.training_step

    def training_step(self, batch, batch_idx):
        seen.append(tuple(batch["name"]))
        return step(self, batch, batch_idx)

    monkeypatch.setattr(SegmentationModule, "training_step", training_step)
    return seen


def test_accumulation_sees_the_same_samples(train, batches, tmp_path):
    whole = trained(train("batch_size=4", "run_root=whole"), tmp_path / "whole")
    together, batches[:] = [*batches], []
    parts = trained(train("batch_size=4", "accumulate=2", "run_root=parts"), tmp_path / "parts")
    assert [len(batch) for batch in together] == [4] * 3
    assert [len(batch) for batch in batches] == [2] * 6
    assert sum(batches, ()) == sum(together, ())
    for folder in (whole, parts):
        content = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
        assert content["global_step"] == 3
    assert steps(parts, "val/miou") == [1, 2]


@pytest.fixture
def finished(training, tmp_path):
    """A copy of a finished training in this test's run root."""
    return shutil.copytree(training.folder, tmp_path / "runs" / training.folder.name)


def test_a_finished_training_is_only_scored(train, finished, batches):
    before = results(finished)
    files = {path: path.stat().st_mtime_ns for path in (finished / "checkpoints").iterdir()}
    files[finished / "metrics.csv"] = (finished / "metrics.csv").stat().st_mtime_ns
    del before["evaluations"]["flip"]
    (finished / "results.json").write_text(json.dumps(before))

    outcome = train("tta=flip", "val_every=1", "logger=tensorboard")
    assert outcome.status == 0, outcome.err
    assert batches == []
    assert {path: path.stat().st_mtime_ns for path in files} == files
    after = results(finished)
    assert list(after["evaluations"]) == ["none", "msflip", "flip"], "merged, none lost"
    flip = after["evaluations"].pop("flip")
    assert after == before
    assert "flip" in outcome.out and f"{100 * flip['miou']:.2f}" in outcome.out


def test_a_fresh_one_leaves_the_first_alone(train, finished, tmp_path):
    stamp = (finished / "results.json").stat().st_mtime_ns
    for number in (2, 3):
        outcome = train("fresh=true", "iters=3")
        assert outcome.status == 0, outcome.err
        assert (tmp_path / "runs" / f"{finished.name}-{number}" / "results.json").is_file()
    assert (finished / "results.json").stat().st_mtime_ns == stamp
    assert_equal(weights(tmp_path / "runs" / f"{finished.name}-2"), weights(finished))


LONG = ("iters=6", "head.dropout=0.5", "auxiliary_head.dropout=0.1")


def assert_same_end(first, second):
    """Weights, optimizer and schedule are equal bit for bit."""
    ours, theirs = (
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
        for folder in (first, second)
    )
    assert_equal(ours["state_dict"], theirs["state_dict"])
    (ours_optimizer,), (theirs_optimizer,) = ours["optimizer_states"], theirs["optimizer_states"]
    assert ours_optimizer["param_groups"] == theirs_optimizer["param_groups"]
    assert ours_optimizer["state"].keys() == theirs_optimizer["state"].keys() != set()
    for key, state in ours_optimizer["state"].items():
        assert_equal(state, theirs_optimizer["state"][key])
    assert ours["lr_schedulers"] == theirs["lr_schedulers"]


@pytest.mark.parametrize("num_workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_an_interrupted_training_goes_on(train, batches, monkeypatch, tmp_path, num_workers):
    train = functools.partial(train, f"num_workers={num_workers}")
    whole = trained(train(*LONG, "run_root=whole"), tmp_path / "whole")
    together, batches[:] = [*batches], []

    with killed_in_step(5):
        train(*LONG)
    folder = only_run(tmp_path / "runs")
    assert torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 4
    assert steps(folder) == [0, 1, 2, 3, 4]
    assert not (folder / "results.json").exists()
    before, batches[:] = [*batches], []

    outcome = train(*LONG)
    assert trained(outcome, tmp_path / "runs") == folder, "the same folder"
    assert [*before[:4], *batches] == together
    assert torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 6
    assert steps(folder) == [0, 1, 2, 3, 4, 5]
    assert steps(folder, "val/miou") == [1, 3, 5]
    assert results(folder)["training"]["iters"] == 6
    assert_same_end(folder, whole)
    assert_equal(weights(folder, "best"), weights(whole, "best"))
    for ours, theirs in zip(curves(folder), curves(whole), strict=True):
        for column in ("step", "train/loss", "train/learning_rate", "val/miou"):
            assert ours[column] == theirs[column]


def test_passes_of_one_step_draw_their_own(train, monkeypatch, tmp_path):
    """With accumulation, and from any step on the same."""
    drawn = []
    step = SegmentationModule.training_step

    def training_step(self, batch, batch_idx):
        numbers = torch.rand(1).item(), random.random(), np.random.rand()  # noqa: NPY002
        drawn.append((self.trainer.global_step, *numbers))
        if len(drawn) == 10:  # the second pass of the fifth step
            raise KilledError
        return step(self, batch, batch_idx)

    monkeypatch.setattr(SegmentationModule, "training_step", training_step)
    with pytest.raises(KilledError):
        train("iters=6", "accumulate=2")
    assert [number for number, *_ in drawn] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    for column in (1, 2, 3):
        assert len({row[column] for row in drawn}) == 10
    before, drawn[:] = drawn[8:], []
    trained(train("iters=6", "accumulate=2"), tmp_path / "runs")
    assert drawn[:2] == before
    assert len(drawn) == 4


def test_a_disk_that_fills_up_costs_no_checkpoint(train, monkeypatch, tmp_path):
    save, saved = torch.save, []

    def fill(content, file):
        saved.append(content["global_step"])
        if saved[-1] == 4:
            file.write(b"half of a checkpoint")
            raise OSError(28, "No space left on device")
        save(content, file)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.torch, "save", fill)
        error = train(*LONG).error
    folder = only_run(tmp_path / "runs")
    assert "can't be written (No space left on device): free space there" in error
    assert f"runs/{folder.name}/checkpoints/" in error
    for name in ("best", "last"):
        content = torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)
        assert content["global_step"] == 2
    assert len(list((folder / "checkpoints").iterdir())) == 2, "nothing half written stays"

    assert trained(train(*LONG), tmp_path / "runs") == folder
    assert results(folder)["training"]["iters"] == 6


def test_a_damaged_last_checkpoint_is_set_aside(train, finished, batches):
    """Training goes on from the one before it, to the same end."""
    expected = weights(finished)
    (finished / "results.json").unlink()
    checkpoints = finished / "checkpoints"
    best = torch.load(checkpoints / "best.ckpt", weights_only=True)["global_step"]
    for number, name in enumerate(("last.ckpt.damaged", "last.ckpt.damaged-2"), 1):
        (checkpoints / "last.ckpt").write_bytes(b"PK\x03\x04 cut")
        outcome = train()
        assert outcome.status == 0, outcome.err
        assert re.search(r"^warning: can't read .*last\.ckpt \(.+\): it is now ", outcome.err)
        assert outcome.err.endswith(f"it is now {name}, and training resumes from best.ckpt\n")
        assert (checkpoints / name).read_bytes() == b"PK\x03\x04 cut"
        assert len(batches) == number * (3 - best)
        assert results(finished)["training"]["iters"] == 3
        assert_equal(weights(finished), expected)
        (finished / "results.json").unlink()


def test_no_checkpoint_can_be_read(train, finished):
    (finished / "results.json").unlink()
    for name in ("best", "last"):
        (finished / "checkpoints" / f"{name}.ckpt").write_bytes(b"cut")
    error = train().error
    assert re.match(r"can't read .*last\.ckpt \(.+\), and there is no other.*: move .* away", error)
    assert len(list((finished / "checkpoints").iterdir())) == 2


@pytest.mark.slow
def test_killed_in_the_middle(data, tmp_path):
    """A process killed without warning, wherever it is; then the command again: the same end."""
    overrides = (*TINY, "iters=300", "val_every=10", "head.dropout=0.5", "num_workers=1")
    with running(*overrides, cwd=tmp_path, GCSEG_DATA=str(data)):
        pass
    folder = only_run(tmp_path / "runs")
    before = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
    assert 0 < before < 300
    done = start("train", *overrides, cwd=tmp_path, GCSEG_DATA=str(data))
    assert done.returncode == 0, done.stderr
    assert torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 300
    assert steps(folder) == list(range(300))
    assert not list(folder.rglob("*.partial"))
    done = start("train", *overrides, "run_root=whole", cwd=tmp_path, GCSEG_DATA=str(data))
    assert done.returncode == 0, done.stderr
    assert_same_end(folder, only_run(tmp_path / "whole"))


@pytest.mark.slow
def test_two_processes_share_one_run(data, training, tmp_path):
    """Data parallel on the CPU: the same run, each image scored once."""
    overrides = (*TINY, "devices=2", "tta=all")
    done = start("train", *overrides, cwd=tmp_path, GCSEG_DATA=str(data))
    assert done.returncode == 0, done.stderr
    folder = only_run(tmp_path / "runs")
    assert folder.name == training.folder.name, "devices do not make another training"
    content = results(folder)
    assert content["training"]["iters"] == 3
    assert list(content["evaluations"]) == ["none", "flip", "msflip"]
    assert content["evaluations"]["none"]["images"] == 3
    assert steps(folder) == [0, 1, 2]
    assert done.stdout.count("best checkpoint on val") == 1, "one process prints"
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]

    # One process gives the same scores from the checkpoint: no image was counted twice.
    done = start(
        *("eval", f"checkpoint={folder}", "num_workers=0", "accelerator=cpu", "trust=true"),
        cwd=tmp_path,
        GCSEG_DATA=str(data),
    )
    assert done.returncode == 0, done.stderr
    alone = results(folder)["evaluations"]
    for mode, record in content["evaluations"].items():
        assert alone[mode]["class_iou"] == record["class_iou"]
        assert alone[mode]["pixel_accuracy"] == record["pixel_accuracy"]
