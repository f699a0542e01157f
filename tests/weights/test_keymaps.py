"""Names translate both ways and cover whole networks."""

import json

import pytest
import torch

from gcseg.models import gcnet
from gcseg.weights import KEY_MAPS, MMSEG_GCNET, PADDLESEG_GCNET, KeyMap
from tests.golden.generate import FOLDER, NETWORKS

DEPTHS = ("r18", "r34", "r50", "r101", "r152")


def names(backbone: str, variant: str) -> dict[str, torch.Size]:
    with torch.device("meta"):
        model = gcnet(backbone, variant=variant, conv_bias=variant == "vd")
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("network", NETWORKS)
def test_names_are_exactly_the_frameworks(network):
    keys = PADDLESEG_GCNET if network.startswith("paddle") else MMSEG_GCNET
    theirs = json.loads((FOLDER / f"{network}.keys.json").read_text())
    settings = NETWORKS[network]
    ours = names(settings["backbone"], settings["variant"])
    translated = {keys.to_theirs(name): shape for name, shape in ours.items()}
    translated.pop(None, None)  # num_batches_tracked, which Paddle lacks
    assert translated.keys() == theirs.keys()
    for name, shape in translated.items():
        assert [size for size in shape if size != 1] == [s for s in theirs[name] if s != 1], name


@pytest.mark.parametrize(("keys", "variant"), [(PADDLESEG_GCNET, "vd"), (MMSEG_GCNET, "v1c")])
@pytest.mark.parametrize("backbone", DEPTHS)
def test_names_return_from_a_round_trip(keys, variant, backbone):
    ours = [
        name
        for name in names(backbone, variant)
        if keys is MMSEG_GCNET or not name.endswith("num_batches_tracked")
    ]
    theirs = [keys.to_theirs(name) for name in ours]
    assert len(set(theirs)) == len(ours)
    assert [keys.to_ours(name) for name in theirs] == ours


def test_both_frameworks_are_known():
    assert [keys.source for keys in KEY_MAPS] == ["PaddleSeg's GCNet", "mmsegmentation's GCNet"]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("backbone.bb_0_0.short._batch_norm._mean", "backbone.layer1.0.downsample.2.running_mean"),
        ("backbone.bb_2_22.conv0._conv.weight", "backbone.layer3.22.conv1.weight"),
        ("head.conv_bn_relu1._conv.bias", "head.conv_in.0.bias"),
        ("head.auxlayer.conv.weight", "auxiliary_head.classifier.weight"),
    ],
)
def test_some_names_of_paddleseg(theirs, ours):
    assert PADDLESEG_GCNET.to_ours(theirs) == ours
    assert PADDLESEG_GCNET.to_theirs(ours) == theirs


@pytest.mark.parametrize(
    "name",
    [
        *("fc.weight", "head.conv", "backbone.bb_x_0.conv0._conv.weight", ""),
        *("xbackbone.conv1_1._conv.weight", "backbone.conv1_1._conv.weight.more"),
        *("backbone.conv1_1._conv.running_mean", "backbone.conv1_1x_conv.weight"),
    ],
)
def test_strange_names_have_no_translation(name):
    assert PADDLESEG_GCNET.to_ours(name) is None


def test_offsets_and_repeated_numbers():
    keys = KeyMap("x", modules=[("a{i}.{j+2}", "b.{j}.{i+1}")], leaves=[("w", "weight")])
    assert keys.to_ours("a3.7.w") == "b.5.4.weight"
    assert keys.to_theirs("b.5.4.weight") == "a3.7.w"
