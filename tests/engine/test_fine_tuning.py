"""Trainings with a frozen part of the backbone, and with several learning rates."""

import csv

import pytest
import torch

from tests import running
from tests.processes import run_together
from tests.running import TINY, only_run

STAGED = ("backbone._target_=tests.tiny.staged",)
FROZEN = ("backbone.freeze=2", "optim.lr=0.1")


def state(folder, name="last"):
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)


def of_stages(tensors, first, last):
    """Weights and statistics of some stages of the staged backbone; 0 has the stem's, too."""
    starts = tuple(f"model.backbone.inner.stages.{number}." for number in range(first, last + 1))
    return {name: value for name, value in tensors.items() if name.startswith(starts)}


def assert_bit_equal(ours, theirs):
    assert ours.keys() == theirs.keys() and ours
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name


@pytest.fixture(scope="module")
def start(data, tmp_path_factory):
    """Run folder of a training whose weights and statistics others start from."""
    cwd = tmp_path_factory.mktemp("start")
    outcome = running.run("train", *TINY, *STAGED, cwd=cwd, GCSEG_DATA=str(data))
    assert outcome.status == 0, outcome.err
    return only_run(cwd / "runs")


def assert_frozen(folder, start):
    trained, before = (state(start, "best")["state_dict"] for start in (folder, start))
    assert_bit_equal(of_stages(trained, 0, 1), of_stages(before, 0, 1))
    for name, value in of_stages(trained, 2, 3).items():
        assert not torch.equal(value, before[name]), name


@pytest.mark.parametrize(
    "overrides",
    [
        ("ema.decay=0.9", "accumulate=2", "optim=adamw", "optim.layer_decay=0.5"),
        pytest.param(("compile=true",), marks=pytest.mark.slow),
    ],
)
def test_frozen(train, start, tmp_path, overrides):
    outcome = train(*STAGED, *FROZEN, f"checkpoint={start}", *overrides)
    assert outcome.status == 0, outcome.err
    assert "of them frozen: the backbone's stem and stages 1 to 2)" in outcome.out
    folder = only_run(tmp_path / "runs")
    assert_frozen(folder, start)
    last = state(folder)
    for tensors in (last["state_dict"], last.get("raw_state_dict", last["state_dict"])):
        assert_bit_equal(
            of_stages(tensors, 0, 1), of_stages(state(start, "best")["state_dict"], 0, 1)
        )
    in_optimizer = sum(
        len(group["params"]) for group in last["optimizer_states"][0]["param_groups"]
    )
    names = [name for name in last["state_dict"] if name.endswith((".weight", ".bias"))]
    frozen = of_stages(dict.fromkeys(names), 0, 1)
    assert in_optimizer == len(names) - len(frozen) > 0


@pytest.mark.parametrize("strategy", ["ddp", pytest.param("fsdp", marks=pytest.mark.slow)])
def test_frozen_in_several_processes(data, start, tmp_path, strategy):
    """Batch norm is over the pictures of all processes, but for the frozen ones."""
    outcomes = run_together(
        2, "train", *TINY, *STAGED, *FROZEN, f"checkpoint={start}", "devices=2",
        f"strategy={strategy}", "optim.backbone_lr_factor=0.5",
        cwd=tmp_path, GCSEG_DATA=str(data),
    )  # fmt: skip
    assert [outcome.status for outcome in outcomes] == [0, 0], outcomes
    assert_frozen(only_run(tmp_path / "runs"), start)


def test_random_weights(train, run, tmp_path):
    """They are warned of; and freezing is of training alone: an evaluation does not have it."""
    outcome = train(*STAGED, "backbone.freeze=stem", "iters=1")
    assert "warning: backbone.freeze=stem keeps random weights as they are: give " in outcome.out
    assert not outcome.err
    folder = only_run(tmp_path / "runs")
    assert run("eval", f"checkpoint={folder}", "accelerator=cpu", "num_workers=0").status == 0


def test_what_cant_be_frozen(train, tmp_path):
    assert "does not say which modules are its stem" in train("backbone.freeze=3").error
    assert train("backbone.freeze=5").error == (
        "backbone.freeze=5: use one of none, stem, 1, 2, 3, 4, all"
    )
    assert "does not say which modules are its stem" in train("optim.layer_decay=0.9").error
    assert not (tmp_path / "runs").exists()


def test_two_learning_rates_at_each_step(train, tmp_path):
    assert train(*STAGED, "optim.backbone_lr_factor=0.1", "iters=4").status == 0
    folder = only_run(tmp_path / "runs")
    with (folder / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["train/loss"]]
    for step, row in enumerate(rows):
        rate = (0.01 - 1e-5) * (1 - step / 4) ** 0.9 + 1e-5
        assert float(row["train/learning_rate"]) == pytest.approx(rate)
        assert float(row["train/learning_rate/backbone"]) == pytest.approx(rate / 10)
    assert len(rows) == 4


def test_interrupted(train, monkeypatch, tmp_path):
    given = (*STAGED, "backbone.freeze=1", "optim.layer_decay=0.7", "iters=4", "val_every=2")
    assert train(*given, "run_root=whole").status == 0
    with running.killed_in_step(3):
        train(*given)
    assert "resumes from step 2/4" in train(*given).out
    ours, theirs = (state(only_run(tmp_path / root)) for root in ("runs", "whole"))
    assert_bit_equal(ours["state_dict"], theirs["state_dict"])
    assert (
        ours["optimizer_states"][0]["param_groups"]
        == (theirs["optimizer_states"][0]["param_groups"])
    )
