"""python -m gcseg.selftest: what it finds equal and different, and what it is told."""

import json
import shutil
import sys

import pytest
import torch

from gcseg.commands import selftest
from tests.running import REPOSITORY, start


@pytest.fixture
def copies(training, tmp_path):
    """Two copies of a finished training."""
    return [shutil.copytree(training.folder, tmp_path / name) for name in ("first", "second")]


def change(folder, action, name="last.ckpt"):
    path = folder / "checkpoints" / name
    content = torch.load(path, weights_only=True)
    action(content)
    torch.save(content, path)


def smallest_step(content):
    """The next number in one place of one weight."""
    weight = content["state_dict"]["model.backbone.stages.0.0.weight"]
    weight[0, 0, 0, 3] = torch.nextafter(weight[0, 0, 0, 3], torch.tensor(9.0))


def momentum(content):
    state = content["optimizer_states"][0]["state"]
    state[0]["momentum_buffer"] += 1


def best_score(content):
    (key,) = (key for key in content["callbacks"] if "val/miou" in key)
    content["callbacks"][key]["best_model_score"] += 1e-6


def test_equal(copies, capsys):
    for folder, seconds in zip(copies, (1.0, 2.0), strict=True):
        for name in ("last.ckpt", "best.ckpt"):
            change(
                folder, lambda c, s=seconds: c["callbacks"]["RunProgress"].update(seconds=s), name
            )
    assert selftest.report(*copies) == 0
    out, err = capsys.readouterr()
    assert out.count("equal") == 12 and "differs" not in out
    assert err == ""


@pytest.mark.parametrize(
    ("action", "name", "message"),
    [
        (smallest_step, "last.ckpt", "last.ckpt: state_dict.model.backbone.stages.0.0.weight diff"),
        (smallest_step, "best.ckpt", "best.ckpt: state_dict.model.backbone.stages.0.0.weight diff"),
        (momentum, "last.ckpt", "last.ckpt: optimizer_states[0].state.0.momentum_buffer differs"),
        (best_score, "last.ckpt", "best_model_score differs by up to"),
        (
            lambda c: c["lr_schedulers"][0].update(last_epoch=9),
            "last.ckpt",
            "last_epoch is 3 and 9",
        ),
        (lambda c: c.update(epoch=9), "best.ckpt", "best.ckpt.epoch is 0 and 9"),
        (lambda c: c.pop("epoch"), "last.ckpt", "last.ckpt has other keys (epoch)"),
    ],
)
def test_a_difference(copies, capsys, action, name, message):
    change(copies[1], action, name)
    assert selftest.report(*copies) == 1
    out, err = capsys.readouterr()
    assert out.count("differs") == 1
    assert err.startswith("error: the trainings differ: ") and message in err


def test_a_difference_in_the_curves_and_the_scores(copies):
    path = copies[1] / "metrics.csv"
    path.write_text(path.read_text().replace("\n0,", "\n0,1", 1))
    path = copies[1] / "results.json"
    content = json.loads(path.read_text())
    content["evaluations"]["none"]["miou"] += 1e-9
    path.write_text(json.dumps(content))
    found = selftest.compare(*copies)
    assert found["metrics.csv"].startswith("metrics.csv: lines[1] is ")
    assert found["results.json: scores"].startswith("results.json.none.miou is ")


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (torch.tensor(0.0), torch.tensor(-0.0), "x differs by up to 0"),
        (torch.tensor([float("nan")]), torch.tensor([float("nan")]), ""),
        (torch.zeros(2), torch.zeros(3), r"x is torch.float32 [2] and torch.float32 [3]"),
        (torch.zeros(2), torch.zeros(2).half(), r"x is torch.float32 [2] and torch.float16 [2]"),
        (float("nan"), float("nan"), ""),
        ([1, (2, 3)], [1, (2, 4)], "x[1][1] is 3 and 4"),
        ([1], [1, 2], "x has 1 and 2 items"),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, "x has other keys (their order)"),
        (1, 1.0, "x is int and float"),
        (None, None, ""),
    ],
)
def test_bit_for_bit(first, second, expected):
    assert selftest.difference(first, second, "x") == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resum"], "there is no test 'resum': use one of resume, overhead"),
        (["resume", "steps=many"], "steps=many: give a whole number, for steps 2 or more"),
        (["resume", "steps=1"], "steps=1: give a whole number, for steps 2 or more"),
        (["resume", "kills="], "kills=: give a whole number"),
    ],
)
def test_mistakes(arguments, message, capsys):
    assert selftest.main(arguments) == 1
    assert capsys.readouterr().err.startswith(f"error: {message}")


@pytest.mark.parametrize("arguments", [[], ["--help"], ["resume", "-h"]])
def test_help_comes_without_torch(arguments, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert selftest.main(arguments) == 0
    assert "python -m gcseg.selftest resume" in capsys.readouterr().out


@pytest.mark.slow
def test_a_training_that_fails(tmp_path):
    done = start("selftest", "resume", "backbone=r19", f"run_root={tmp_path}", cwd=tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: the training ended with status 1 (error: backbone=r19 does not")
    assert "try it: python -m gcseg.train backbone=r19" in line
    assert not list(tmp_path.iterdir()), "nothing stays"


def test_what_training_refuses_is_said_once(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    assert selftest.main(["overhead", "iters=x"]) == 1
    assert capfd.readouterr().err.splitlines() == [
        "error: iters=x: give a whole number of optimizer steps, 1 or more"
    ]
