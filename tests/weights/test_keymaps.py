"""Names translate both ways and cover whole networks."""

import json
from functools import cache

import pytest
import torch

from gcseg.models import FCNHead, gcnet
from gcseg.models.defaults import CONTEXT_CLASSES
from gcseg.models.resnets import VARIANTS
from gcseg.weights import describe
from gcseg.weights.architecture import without_values
from gcseg.weights.keymaps import (
    KEY_MAPS,
    MMPRETRAIN_RESNET,
    MMSEG_GCNET,
    MMSEG_GCNET_V1B,
    MMSEG_NETWORKS,
    OURS,
    PADDLE_RESNET_VD,
    PADDLECLAS_RESNET_VD,
    PADDLESEG_GCNET,
    TIMM_RESNET_D,
    TORCH_RESNET,
)
from gcseg.weights.names import KeyMap
from tests.golden.generate import FOLDER
from tests.models.test_golden_heads import NETWORKS, record

DEPTHS = ("r18", "r34", "r50", "r101", "r152")
PADDLECLAS = dict(
    zip(DEPTHS, [PADDLECLAS_RESNET_VD[i] for i in (0, 1, 1, 2, 3)], strict=True)
)  # depths 34 and 50 have as many blocks

# Key list of a framework's network: (its map, our backbone, our variant)
LISTS = {
    "paddleseg_gcnet_r18": (PADDLESEG_GCNET, "r18", "vd"),
    "paddleseg_gcnet_r50": (PADDLESEG_GCNET, "r50", "vd"),
    "mmseg_gcnet_r50": (MMSEG_GCNET, "r50", "v1c"),
    "mmseg_gcnet_r18_v1b": (MMSEG_GCNET_V1B, "r18", "v1b"),
    "mmseg_gcnet_r18_v1d": (MMSEG_GCNET, "r18", "v1d"),
    "mmseg_nonlocal_r18": (MMSEG_NETWORKS["nl"][0], "r18", "v1c"),
    "mmseg_dnl_r18": (MMSEG_NETWORKS["dnl"][0], "r18", "v1c"),
    "torchvision_resnet18": (TORCH_RESNET, "r18", "v1b"),
    "torchvision_resnet50": (TORCH_RESNET, "r50", "v1b"),
    "timm_resnet18d": (TIMM_RESNET_D, "r18", "d"),
    "timm_resnet50d": (TIMM_RESNET_D, "r50", "d"),
    "paddleclas_resnet18_vd": (PADDLECLAS["r18"], "r18", "vd"),
    "paddleclas_resnet50_vd": (PADDLECLAS["r50"], "r50", "vd"),
}

# Every map with the depths and variants of its networks
COVERED = [
    *((keys, depth, "vd") for depth in DEPTHS for keys in (PADDLESEG_GCNET, PADDLE_RESNET_VD)),
    *((keys, depth, "vd") for depth, keys in PADDLECLAS.items()),
    *((keys, depth, "v1c") for depth in DEPTHS for keys in (MMSEG_GCNET, MMPRETRAIN_RESNET)),
    *((keys, depth, "v1b") for depth in DEPTHS for keys in (MMSEG_GCNET_V1B, TORCH_RESNET)),
    *((MMSEG_NETWORKS[block][0], "r50", "v1c") for block in ("nl", "dnl")),
    *((MMSEG_NETWORKS[block][1], "r18", "v1b") for block in ("nl", "dnl")),
    *((TIMM_RESNET_D, depth, "d") for depth in DEPTHS),
]


def shown(value: object) -> str:
    """A parameter as it stands in the names of tests."""
    return value.source if isinstance(value, KeyMap) else str(value)


@cache
def names(
    backbone: str, variant: str, fusion: str = "add", block: str = "gc"
) -> dict[str, torch.Size]:
    with without_values():
        biases = variant == "vd"
        model = gcnet(backbone, variant=variant, conv_bias=biases, fusion=fusion)
        if block != "gc":
            context = CONTEXT_CLASSES[block](512)
            channels = model.backbone.channels[3]
            model.head = FCNHead(channels, 19, context=context, conv_bias=biases)
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


def of(keys: KeyMap, backbone: str, variant: str, fusion: str = "add") -> dict[str, torch.Size]:
    """Our names that a map has to know: of the backbone alone, and what the framework counts."""
    blocks = [block for block, both in MMSEG_NETWORKS.items() if keys in both]
    whole = keys is PADDLESEG_GCNET or blocks
    counts = ("num_batches_tracked", "num_batches_tracked") in keys.leaves
    return {
        name: shape
        for name, shape in names(backbone, variant, fusion, *blocks).items()
        if (whole or name.startswith("backbone."))
        and (counts or not name.endswith("num_batches_tracked"))
    }


@pytest.mark.parametrize("name", LISTS)
def test_names_are_exactly_the_frameworks(name):
    keys, backbone, variant = LISTS[name]
    theirs = json.loads((FOLDER / f"{name}.keys.json").read_text())
    fusion = "add+multiply" if name == "mmseg_gcnet_r18_v1b" else "add"
    ours = of(keys, backbone, variant, fusion)
    if name == "mmseg_gcnet_r18_v1b":  # which pools by the average
        ours = {key: shape for key, shape in ours.items() if "conv_mask" not in key}
    translated = {keys.to_theirs(key): shape for key, shape in ours.items()}
    unused = {key for key in theirs if keys.ignores(key)}
    assert {key.rpartition(".")[0] for key in unused} <= {"fc"}
    assert bool(unused) == (not name.startswith(("mmseg", "paddleseg")))
    if keys in (*MMSEG_NETWORKS["nl"], *MMSEG_NETWORKS["dnl"]):  # without an auxiliary head
        ours = {key: shape for key, shape in ours.items() if not key.startswith("auxiliary")}
        translated = {keys.to_theirs(key): shape for key, shape in ours.items()}
    assert translated.keys() == theirs.keys() - unused
    assert {keys.to_ours(key) for key in theirs if key not in unused} == ours.keys()


@pytest.mark.parametrize(("keys", "backbone", "variant"), COVERED, ids=shown)
def test_names_return_from_a_round_trip(keys, backbone, variant):
    ours = list(of(keys, backbone, variant))
    theirs = [keys.to_theirs(name) for name in ours]
    assert None not in theirs
    assert len(set(theirs)) == len(ours)
    assert [keys.to_ours(name) for name in theirs] == ours
    assert not any(keys.ignores(name) for name in theirs)


@pytest.mark.parametrize("variant", VARIANTS)
def test_our_own_names_stay(variant):
    ours = list(names("r18", variant, "add+multiply"))
    assert [OURS.to_ours(name) for name in ours] == ours
    assert OURS.to_ours("decode_head.conv_seg.weight") is None
    assert OURS.to_ours("loss.weight") is None


def test_every_map_is_tested_and_says_its_variants():
    sources = {keys.source for keys, *_ in COVERED}
    for name in NETWORKS:  # of other heads, whose names test_golden_heads.py compares
        theirs = json.loads((FOLDER / f"{name}.keys.json").read_text())
        tensors = {key: torch.empty(shape, device="meta") for key, shape in theirs.items()}
        sources.add(describe(tensors, record(name)).keys.source)
    plain = " with a plain ResNet"  # where the backbone's names alone are others
    missing = {keys.source.removesuffix(plain) for keys in KEY_MAPS} - sources
    assert not missing
    for keys, _, variant in COVERED:
        assert keys.variants[0] == variant
    assert set(OURS.variants) == set(VARIANTS)


@pytest.mark.parametrize("backbone", DEPTHS)
def test_blocks_of_paddleclas_fit_one_depth(backbone):
    theirs = [PADDLECLAS[backbone].to_theirs(name) for name in of(PADDLE_RESNET_VD, backbone, "vd")]
    for other in PADDLECLAS_RESNET_VD:
        stages = [other.to_ours(name).split(".")[1:3] for name in theirs if "blocks" in name]
        found = [{block for layer, block in stages if layer == f"layer{i}"} for i in (1, 2, 3, 4)]
        counts = [len(blocks) for blocks in found]
        wanted = {"r18": [2, 2, 2, 2], "r34": [3, 4, 6, 3], "r50": [3, 4, 6, 3]}
        wanted |= {"r101": [3, 4, 23, 3], "r152": [3, 8, 36, 3]}
        assert (counts == wanted[backbone]) == (other is PADDLECLAS[backbone])


@pytest.mark.parametrize(
    ("keys", "theirs", "ours"),
    [
        *(
            (PADDLESEG_GCNET, theirs, ours)
            for theirs, ours in {
                "backbone.bb_0_0.short._batch_norm._mean": (
                    "backbone.layer1.0.downsample.2.running_mean"
                ),
                "backbone.bb_2_22.conv0._conv.weight": "backbone.layer3.22.conv1.weight",
                "head.conv_bn_relu1._conv.bias": "head.conv_in.0.bias",
                "head.auxlayer.conv.weight": "auxiliary_head.classifier.weight",
            }.items()
        ),
        (PADDLE_RESNET_VD, "conv1_3._batch_norm._mean", "backbone.stem.7.running_mean"),
        (PADDLECLAS["r18"], "blocks.7.conv0.conv.weight", "backbone.layer4.1.conv1.weight"),
        (
            PADDLECLAS["r34"],
            "blocks.7.short.bn._mean",
            "backbone.layer3.0.downsample.2.running_mean",
        ),
        (PADDLECLAS["r101"], "blocks.29.conv2.conv.weight", "backbone.layer3.22.conv3.weight"),
        (PADDLECLAS["r152"], "blocks.10.conv0.bn.bias", "backbone.layer2.7.bn1.bias"),
        (TORCH_RESNET, "bn1.running_var", "backbone.stem.1.running_var"),
        (TIMM_RESNET_D, "bn1.running_var", "backbone.stem.7.running_var"),
        (TIMM_RESNET_D, "layer2.0.downsample.1.weight", "backbone.layer2.0.downsample.1.weight"),
        (MMPRETRAIN_RESNET, "stem.6.weight", "backbone.stem.6.weight"),
        (MMSEG_GCNET_V1B, "backbone.conv1.weight", "backbone.stem.0.weight"),
        (MMSEG_GCNET_V1B, "decode_head.conv_seg.bias", "head.classifier.bias"),
    ],
    ids=shown,
)
def test_some_names(keys, theirs, ours):
    assert keys.to_ours(theirs) == ours
    assert keys.to_theirs(ours) == theirs


@pytest.mark.parametrize(
    ("keys", "bare"),
    [
        (PADDLE_RESNET_VD, "bb_3_2.conv2._conv.weight"),
        (PADDLECLAS["r50"], "blocks.3.conv0.conv.weight"),
        (MMPRETRAIN_RESNET, "stem.3.weight"),
        (TORCH_RESNET, "conv1.weight"),
        (TIMM_RESNET_D, "conv1.0.weight"),
    ],
    ids=shown,
)
def test_backbones_may_have_a_prefix(keys, bare):
    assert keys.to_ours(f"backbone.{bare}") == keys.to_ours(bare)
    assert keys.to_theirs(keys.to_ours(bare)) == bare


@pytest.mark.parametrize(
    ("keys", "unused"),
    [
        (PADDLE_RESNET_VD, "out.weight"),
        (PADDLECLAS["r18"], "fc.bias"),
        (MMPRETRAIN_RESNET, "head.fc.weight"),
        (MMPRETRAIN_RESNET, "fc.weight"),
        (TORCH_RESNET, "fc.bias"),
        (TIMM_RESNET_D, "fc.bias"),
    ],
    ids=shown,
)
def test_classifiers_of_imagenet_are_known_and_unused(keys, unused):
    assert keys.ignores(unused)
    assert keys.to_ours(unused) is None
    assert not keys.ignores(f"more.{unused}")


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
    assert not PADDLESEG_GCNET.ignores(name)


def test_offsets_and_repeated_numbers():
    keys = KeyMap(
        "x", modules=[("a{i}.{j+2}", "b.{j}.{i+1}")], leaves=[("w", "weight")], variants=()
    )
    assert keys.to_ours("a3.7.w") == "b.5.4.weight"
    assert keys.to_theirs("b.5.4.weight") == "a3.7.w"
    assert keys.to_ours("a3.1.w") is None  # j would be negative
    assert keys.to_theirs("b.5.0.weight") is None
