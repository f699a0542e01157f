"""First convolutions for pictures with other channels than three."""

import sys

import pytest
import torch

from gcseg.builders.weights import load_starting_weights
from gcseg.config.compose import compose
from gcseg.errors import MismatchError, WeightsError
from gcseg.models import gcnet, resnet
from gcseg.weights import describe, load_backbone, load_weights
from gcseg.weights.convert import convert
from gcseg.weights.overrides import overrides
from gcseg.weights.reading import read_checkpoint_file
from gcseg.weights.stem import adapted

STEM = "backbone.stem.0.weight"
TOLD = f"adapted: {STEM} is of 3 channels, here of 4: the three kept, their mean for 1 more"


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    """ResNets of fewer channels, which take no time."""
    monkeypatch.setattr(sys.modules["gcseg.models.resnets"], "WIDTHS", (64, 72, 80, 88))


def network(channels: int, **arguments):
    return gcnet("r18", 3, channels=16, in_channels=channels, **arguments).eval()


def file_of(model, path):
    torch.save(model.state_dict(), path)
    return path


@pytest.mark.parametrize("channels", [1, 2, 4, 6, 16])
def test_weights_for_other_channels(channels):
    weight = torch.randn(8, 3, 3, 3)
    found = adapted(weight, channels)
    assert found.shape == (8, channels, 3, 3)
    if channels == 1:
        assert torch.allclose(found[:, 0], weight.sum(1))
    elif channels == 2:
        assert torch.allclose(found, weight[:, :2] * 1.5)
    else:
        assert torch.equal(found[:, :3], weight)
        for further in found[:, 3:].unbind(1):
            assert torch.allclose(further, weight.mean(1))


def test_a_grey_picture_gives_what_it_gave_as_three_channels(tmp_path):
    rgb, grey = network(3), network(1)
    load_weights(grey, file_of(rgb, tmp_path / "a.pth"), strict=False)
    picture = torch.rand(1, 1, 32, 48)
    with torch.no_grad():
        assert torch.allclose(grey(picture), rgb(picture.expand(-1, 3, -1, -1)), atol=1e-4)


def test_a_checkpoint_is_adapted_only_where_that_is_allowed(tmp_path):
    rgb, four = network(3), network(4)
    path = file_of(rgb, tmp_path / "a.pth")
    with pytest.raises(
        MismatchError, match=r"32 x 3 x 3 x 3, in the network 32 x 4 x 3 x 3"
    ) as one:
        load_weights(four, path)
    assert "dataset.channels=3" in one.value.remedy
    (line,) = load_weights(four, path, strict=False)
    assert (
        line
        == f"adapted: {STEM} is of 3 channels, here of 4: the three kept, their mean for 1 more"
    )
    state = four.state_dict()
    for name, tensor in rgb.state_dict().items():
        assert torch.equal(tensor, state[name][:, :3] if name == STEM else state[name]), name


def test_other_numbers_of_channels_are_not_adapted(tmp_path):
    path = file_of(network(4), tmp_path / "a.pth")
    (line,) = load_weights(network(6), path, strict=False)
    assert line == f"{STEM} is 32 x 4 x 3 x 3, in the network 32 x 6 x 3 x 3"


def test_a_pretrained_backbone_is_always_adapted(tmp_path):
    path = file_of(resnet(18), tmp_path / "a.pth")
    assert load_backbone(resnet(18), path) == []
    four = resnet(18, in_channels=4)
    (line,) = load_backbone(four, path)
    assert "of 3 channels, here of 4" in line
    assert torch.equal(four.stem[0].weight[:, :3], torch.load(path)["stem.0.weight"])
    with pytest.raises(WeightsError, match="does not fit"):
        load_backbone(resnet(18), file_of(four, tmp_path / "b.pth"))


@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors", ".pdparams", ".pth"])
def test_four_channels_survive_every_format(tmp_path, suffix):
    model = network(4, variant="v1c", conv_bias=False) if suffix == ".pth" else network(4)
    path = tmp_path / f"b{suffix}"
    notes = convert(file_of(model, tmp_path / "a.ckpt"), path)
    file = read_checkpoint_file(path)
    description = describe(file.tensors, file.extra)
    assert "dataset.channels=4" in overrides(description)
    again = network(4, variant=description.backbone["variant"], conv_bias=suffix != ".pth")
    load_weights(again, path)
    assert torch.equal(again.backbone.stem[0].weight, model.backbone.stem[0].weight)
    if suffix in (".pth", ".pdparams"):
        assert any("in_channels" in note and "4" in note for note in notes)


@pytest.mark.parametrize(("part", "first"), [("checkpoint", "network"), ("backbone", "backbone")])
def test_a_training_says_what_became_of_the_first_convolution(tmp_path, part, first):
    model = network(3)
    path = file_of(model if part == "checkpoint" else model.backbone, tmp_path / "a.pth")
    cfg = compose("train", ["strict=false"])
    lines = load_starting_weights(network(4), {part: path}, cfg)
    assert lines[0] == f"{first}: weights of {path}"
    assert [line for line in lines if "channels" in line] == [TOLD]
