"""Scores of NaN or infinity are no class: one line, and nothing is kept of them."""

import pytest
import torch
from torch import nn

from gcseg.inference.predict import predict_labels
from tests.running import only_run


class Head(nn.Module):
    """Gives something else for one class, in evaluation mode and on the two first rows."""

    value = 0.0

    def __init__(self, in_channels, num_classes, **_):
        super().__init__()
        self.classifier = nn.Conv2d(in_channels, num_classes, 1)

    def forward(self, x):
        logits = self.classifier(x)
        if not self.training and x.any():
            logits[:, 1, :2] = self.value
        return logits

    def attention(self, x):
        return x[:, :1] * self.value


@pytest.fixture
def head(monkeypatch):
    """Overrides for a head whose scores can be set."""

    def head(value):
        monkeypatch.setattr(Head, "value", float(value))
        return f"head._target_={__name__}.Head"

    return head


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_labels(value):
    scores = torch.zeros(1, 3, 2, 2)
    scores[0, 2, 0, 0] = value
    wanted = 0 if value < 0 else -1  # a single class may well be impossible
    assert predict_labels(scores, 2, 2).tolist() == [[[wanted, 0], [0, 0]]]
    assert predict_labels(torch.full((1, 3, 1, 1), value), 1, 1).tolist() == [[[-1]]]


def test_the_last_step_before_a_validation(train, tmp_path):
    """No loss follows it."""
    error = train("iters=1", "val_every=1", "optim.lr=1e30").error
    assert error.startswith("the network gives NaN or infinity on 18,432 pixels of the validation")
    assert " after step 1: lower optim.lr" in error
    folder = only_run(tmp_path / "runs")
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["not-finite.ckpt"]
    assert not (folder / "results.json").exists()


@pytest.mark.parametrize("average", [(), ("ema.decay=0.9",)])
def test_what_was_saved_before_stays(train, head, monkeypatch, tmp_path, average):
    """Also in a head that gives them in evaluation mode alone."""
    forward = Head.forward

    def later(self, x):
        self.calls = getattr(self, "calls", 0) + (not self.training and len(x) == 1)
        monkeypatch.setattr(Head, "value", float("nan") if self.calls > 3 else 0.0)
        return forward(self, x)

    setting = head(0)
    monkeypatch.setattr(Head, "forward", later)
    error = train(setting, "val_every=1", *average).error
    assert " pixels of the validation after step 2: " in error
    folder = only_run(tmp_path / "runs")
    steps = {path.name: torch.load(path, weights_only=True)["global_step"]
             for path in (folder / "checkpoints").iterdir()}  # fmt: skip
    assert steps == {"best.ckpt": 1, "last.ckpt": 1, "not-finite.ckpt": 2}
    assert not (folder / "results.json").exists()


def test_eval_predict_and_attention(run, train, head, tmp_path):
    assert train(head(0)).status == 0
    folder = only_run(tmp_path / "runs")
    before = (folder / "results.json").read_bytes()
    given = (f"checkpoint={folder}", "accelerator=cpu")
    for value in ("nan", "inf"):
        head(value)
        error = run("eval", *given, "tta=flip", "explain=true").error
        assert error.startswith("the network gives NaN or infinity on 11,520 pixels: use a check")
        assert (folder / "results.json").read_bytes() == before
    error = run("predict", *given).error
    assert error.startswith("the network gives NaN or infinity on 3,840 pixels of dorrstadt/")
    assert not list(folder.glob("predictions/*/*"))
    error = run("attention", *given).error
    assert error.startswith("the attention map of dorrstadt/") and "has NaN or infinity" in error
