"""The user's own callbacks: called, saved, resumed; and never by a file's word."""

import textwrap

import pytest
import torch
import yaml

from gcseg.engine.callbacks.user_defined import foreign_kind
from tests import running
from tests.running import only_run

MINE = """
    import pytorch_lightning as L

    class Counting(L.Callback):
        def __init__(self, by=1):
            self.by, self.count = by, 0

        def on_train_batch_end(self, *_):
            self.count += self.by

        def state_dict(self):
            return {"count": self.count}

        def load_state_dict(self, state):
            self.count = state["count"]

    class Odd(L.Callback):
        def state_dict(self):
            return {"odd": {1: object()}}

    class NoCallback:
        pass
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """Name of a module in the working folder."""
    name = f"callbacks_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(MINE))
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def given(mine, name="Counting", **arguments):
    inside = ",".join(f"{key}:{value}" for key, value in arguments.items())
    return f"+callbacks.mine={{_target_:{mine}.{name}{',' * bool(inside)}{inside}}}"


def count(folder):
    """What the callback has saved in the last checkpoint."""
    last = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    return last["callbacks"]["Counting"]["count"]


def test_called_and_resumed(train, mine, tmp_path):
    given_ = (given(mine, by=10), "iters=4", "val_every=2")
    with running.killed_in_step(3):
        train(*given_)
    assert count(only_run(tmp_path / "runs")) == 20
    assert train(*given_).status == 0
    folder = only_run(tmp_path / "runs")
    assert count(folder) == 40
    recorded = yaml.safe_load((folder / "config.yaml").read_text())["callbacks"]
    assert recorded == {"mine": {"_target_": f"{mine}.Counting", "by": 10}}


def test_from_a_file(train, mine, tmp_path):
    (tmp_path / "own" / "callbacks").mkdir(parents=True)
    (tmp_path / "own/callbacks/counting.yaml").write_text(f"mine: {{_target_: {mine}.Counting}}\n")
    assert train("--config-dir", "own", "+callbacks=counting").status == 0
    assert count(only_run(tmp_path / "runs")) == 3


def test_recorded_ones_are_not_called(run, training, tmp_path):
    """Nor imported: an evaluation has no callbacks."""
    folder = tmp_path / "runs" / "a"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints/best.ckpt").symlink_to(training.folder / "checkpoints/best.ckpt")
    (tmp_path / "evil.py").write_text("raise SystemExit('imported')")
    content = yaml.safe_load((training.folder / "config.yaml").read_text())
    content["callbacks"] = {"mine": {"_target_": "evil.Callback"}}
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    outcome = run("eval", f"checkpoint={folder}", "accelerator=cpu", "num_workers=0")
    assert outcome.status == 0, outcome


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Missing", "callbacks.mine: _target_="),
        ("NoCallback", "callbacks.mine is a NoCallback: give a subclass of pytorch_lightning.Ca"),
        ("Odd", "callbacks.mine: its state_dict holds an object of type builtins.object: let it"),
    ],
)
def test_what_is_none(train, mine, name, told):
    assert train(given(mine, name)).error.startswith(told)


def test_arguments_that_it_does_not_take(train, mine):
    assert train(given(mine, bye=1)).error.startswith("callbacks.mine: ")
    assert train("+callbacks.mine=3").error.startswith("callbacks.mine=3: give {_target_: my_mod")


def test_plain_states():
    assert foreign_kind({"a": [1, 2.0, "x", None, True, torch.zeros(2)], 3: (b"", {4})}) is None
    assert foreign_kind({"a": [torch.zeros(2).numpy()]}) == "numpy.ndarray"
