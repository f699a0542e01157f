"""Recorded settings of a network that the weights are not of take no memory."""

from pathlib import Path

import pytest
import torch

from gcseg.builders import model as build
from gcseg.config.compose import compose
from gcseg.errors import WeightsError
from gcseg.weights.reading import CheckpointFile

SMALL = ("dataset=camvid", "dataset.root=x", "backbone=r18", "head.channels=8")


@pytest.fixture
def content():
    torch.manual_seed(0)
    network = build.model(compose("train", SMALL), 11)
    return CheckpointFile("PyTorch", network.state_dict(), {})


@pytest.fixture
def places(monkeypatch):
    """Where networks are built, in turn."""
    found = []
    known = build.model

    def model(cfg, num_classes):
        found.append(torch.empty(0).device.type)
        return known(cfg, num_classes)

    monkeypatch.setattr(build, "model", model)
    return found


@pytest.mark.parametrize(
    "settings", ["head.channels=16384", "auxiliary_head.channels=16384", "backbone=r152"]
)
def test_another_network_is_refused_before_it_is_built(settings, content, places):
    cfg = compose("train", [*SMALL, settings])
    for make, classes in ((build.trained_model, 11), (build.trained_module, tuple("abcdefghijk"))):
        with pytest.raises(WeightsError, match=r"a\.ckpt is for .* and does not fit the network"):
            make(cfg, classes, content, Path("a.ckpt"))
    assert places == ["meta", "meta"]


def test_the_network_of_the_weights_is_built(content, places):
    network = build.trained_model(compose("train", SMALL), 11, content, Path("a.ckpt"))
    assert places == ["meta", "cpu"]
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, content.tensors[name]), name


def test_parts_of_ones_own_are_built_once(content, places):
    """They may need values."""
    own = [*SMALL, "backbone._target_=tests.tiny.backbone"]
    with pytest.raises(WeightsError, match="does not fit the network"):
        build.trained_model(compose("train", own), 11, content, Path("a.ckpt"))
    assert places == ["cpu"]
