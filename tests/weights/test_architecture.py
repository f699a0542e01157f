"""A checkpoint's names and shapes show which network it is."""

import functools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from gcseg.errors import WeightsError
from gcseg.models import (
    AuxiliaryHead,
    FCNHead,
    NonLocalBlock,
    Segmentor,
    SqueezeExcitationBlock,
    gcnet,
    resnet,
)
from gcseg.models.defaults import HEAD_CLASSES
from gcseg.models.segmentor import taken_by
from gcseg.weights import architecture
from gcseg.weights.architecture import build, describe, network_settings, without_values
from gcseg.weights.convert import our_tensors
from gcseg.weights.keymaps import KEY_MAPS, MMPRETRAIN_RESNET, MMSEG_GCNET, PADDLESEG_GCNET
from tests.golden import expected, image, parameters
from tests.golden.generate import FOLDER

CONF = Path(__file__).parents[2] / "conf"
DEPTHS = (18, 34, 50, 101, 152)

# Of each list of names: source, kind, backbone, variant, all variants that fit, classes, protocol
LISTS = {
    "paddleseg_gcnet_r18": ("PaddleSeg's GCNet", "network", 18, "vd", 19, "paddleseg"),
    "paddleseg_gcnet_r50": ("PaddleSeg's GCNet", "network", 50, "vd", 19, "paddleseg"),
    "mmseg_gcnet_r50": ("mmsegmentation's GCNet", "network", 50, "v1c", 19, "mmseg"),
    "mmseg_gcnet_r18_v1d": ("mmsegmentation's GCNet", "network", 18, "v1d", 5, "mmseg"),
    "mmseg_gcnet_r18_v1b": (
        *("mmsegmentation's GCNet with a plain ResNet", "network", 18, "v1b", 5, "mmseg"),
    ),
    "torchvision_resnet18": ("torchvision's ResNet", "backbone", 18, "v1b", None, "paddleseg"),
    "torchvision_resnet50": ("torchvision's ResNet", "backbone", 50, "v1b", None, "paddleseg"),
    "timm_resnet18d": ("timm's ResNet-D", "backbone", 18, "d", None, "paddleseg"),
    "timm_resnet50d": ("timm's ResNet-D", "backbone", 50, "d", None, "paddleseg"),
    "paddleclas_resnet18_vd": (
        *("PaddleClas's ResNet18-vd", "backbone", 18, "vd", None, "paddleseg"),
    ),
    "paddleclas_resnet50_vd": (
        *("PaddleClas's ResNet34-vd or ResNet50-vd", "backbone", 50, "vd", None, "paddleseg"),
    ),
}


def shapes(network: torch.nn.Module, prefix: str = "") -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in network.state_dict().items()}


def meta_gcnet(*arguments, **settings) -> dict[str, torch.Tensor]:
    """The state of a network on the device of shapes without values."""
    with without_values():
        return shapes(gcnet(*arguments, **settings))


def meta_backbone(depth: int, variant: str) -> dict[str, torch.Tensor]:
    with without_values():
        return shapes(resnet(depth, variant=variant), "backbone.")


@pytest.mark.parametrize("name", LISTS)
def test_networks_of_the_frameworks_are_recognised(name):
    theirs = json.loads((FOLDER / f"{name}.keys.json").read_text())
    description = describe({key: torch.empty(s, device="meta") for key, s in theirs.items()})
    source, kind, depth, variant, num_classes, protocol = LISTS[name]
    assert description.keys.source == source
    assert description.kind == kind
    assert description.backbone == {
        **{"name": f"r{depth}", "_target_": "gcseg.models.resnet", "depth": depth},
        **{"variant": variant, "output_stride": 8, "pretrained": None},
    }
    assert description.num_classes == num_classes
    assert description.protocol == protocol
    assert description.unknown == ()
    assert [key.partition(".")[0] for key in description.unused] == ["fc", "fc"] * (
        kind == "backbone"
    )
    if kind == "network":
        with without_values():
            parameters = build(description).parameters()
        assert description.parameters == sum(parameter.numel() for parameter in parameters)
        assert description.head["conv_bias"] == (protocol == "paddleseg")
        assert description.auxiliary_head["conv_bias"] == (protocol == "paddleseg")


@pytest.mark.parametrize(
    ("name", "seed"), [("mmseg_gcnet_r18_v1b", 18), ("mmseg_gcnet_r18_v1d", 19)]
)
def test_the_network_that_is_built_gives_the_frameworks_logits(name, seed):
    tensors = parameters(name)
    description = describe(tensors)
    network = build(description).eval()
    network.load_state_dict(our_tensors(tensors, description))  # complete
    wanted = expected(name)
    with torch.no_grad():
        outputs = network(image((1, 3, 33, 49), seed=seed), auxiliary=True)
    for output, logits in zip(("main", "aux"), outputs, strict=True):
        error = np.abs(logits.numpy() - wanted[output]).max() / np.abs(wanted[output]).max()
        assert error < 1e-5, f"{output} logits differ by {error:.1e}"
        assert np.array_equal(logits.argmax(1), wanted[output].argmax(1))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"num_classes": 1},
        {"variant": "v1c", "conv_bias": False, "auxiliary": False},
        {"variant": "v1b", "fusion": "multiply", "pooling": "average"},
        {"variant": "v1d", "channels": 49, "ratio": 1 / 49 + 1e-9},
        {"variant": "d", "fusion": "add+multiply", "channels": 96, "ratio": 1 / 3 + 1e-9},
        {"in_channels": 4},
    ],
    ids=str,
)
def test_settings_return(settings):
    state = meta_gcnet("r18", **settings)
    description = describe(state, variant=settings.get("variant"))
    assert description.keys.source == "gcseg"
    with without_values():
        again = build(description)
    assert {name: t.shape for name, t in again.state_dict().items()} == {
        name: t.shape for name, t in state.items()
    }
    nodes = network_settings(description)
    assert nodes["backbone"]["variant"] == settings.get("variant", "vd")
    assert nodes["head"]["fusion"] == settings.get("fusion", "add")
    assert nodes["head"]["pooling"] == settings.get("pooling", "attention")
    assert nodes["head"]["ratio"] == pytest.approx(settings.get("ratio", 0.25), abs=1e-8)
    assert (nodes["auxiliary_head"] == {"_target_": None}) == ("auxiliary" in settings)


def test_shapes_cost_no_drawing():
    # PyTorch would load its compiler to draw where there are no values.
    script = (
        "import sys, torch; from gcseg.models import gcnet; "
        "from gcseg.weights.architecture import describe; describe(gcnet('r18').state_dict()); "
        "print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


@pytest.mark.parametrize("hidden", [1, 2, 3, 4, 8, 16, 27, 32])  # x / 49 * 49 < x for most
def test_rounding_does_not_lose_a_hidden_channel(hidden):
    state = meta_gcnet("r18", channels=49, ratio=hidden / 49 + 1e-9)
    assert int(49 * describe(state).head["ratio"]) == hidden


def test_plain_head_is_recognised():
    with without_values():
        network = Segmentor(resnet(18), FCNHead(512, 7, channels=16))
    description = describe(shapes(network))
    assert description.head["name"] == "fcn"
    assert description.head["_target_"] == "gcseg.models.FCNHead"
    assert description.num_classes == 7
    with without_values():
        assert isinstance(build(description).head, FCNHead)


@pytest.mark.parametrize("depth", DEPTHS)
def test_settings_are_as_in_the_configuration(depth):
    nodes = network_settings(describe(meta_gcnet(f"r{depth}")))
    files = {"backbone": f"r{depth}", "head": "gc", "auxiliary_head": "fcn"}
    assert nodes == {
        group: yaml.safe_load((CONF / group / f"{option}.yaml").read_text())
        for group, option in files.items()
    }
    assert list(nodes["head"]) == list(yaml.safe_load((CONF / "head" / "gc.yaml").read_text()))


def test_settings_without_heads_are_as_in_the_configuration():
    with without_values():
        network = Segmentor(resnet(18), FCNHead(512, 7))
    nodes = network_settings(describe(shapes(network)))
    for group, option in {"head": "fcn", "auxiliary_head": "none"}.items():
        assert nodes[group] == yaml.safe_load((CONF / group / f"{option}.yaml").read_text())


@pytest.mark.parametrize("keys", KEY_MAPS, ids=lambda keys: keys.source)
@pytest.mark.parametrize("depth", [18, 50])
def test_backbones_are_recognised_under_every_name(keys, depth):
    variant = keys.variants[0]
    named = {keys.to_theirs(name): t for name, t in meta_backbone(depth, variant).items()}
    named.pop(None, None)
    if "PaddleClas" in keys.source and f"ResNet{depth}-" not in keys.source:
        return
    description = describe(named)
    assert (description.kind, description.backbone["depth"]) == ("backbone", depth)
    # Of whole networks' names the backbone's are others' too; the framework is the same.
    assert description.backbone["variant"] in ("vd" if keys is MMSEG_GCNET else variant, variant)
    with pytest.raises(WeightsError, match=f"r{depth} has no head: give a whole network"):
        network_settings(description)


def test_trained_classifiers_of_mmpretrain_do_not_hide_whose_names_they_are():
    state = meta_backbone(50, "v1c")
    state |= {f"head.fc.{leaf}": torch.empty(1000, device="meta") for leaf in ("weight", "bias")}
    description = describe(state)
    assert description.keys is MMPRETRAIN_RESNET
    assert description.unused == ("head.fc.weight", "head.fc.bias")


@pytest.mark.parametrize(
    ("depth", "variants"), [(18, ("vd",)), (50, ("vd", "d", "v1d")), (101, ("vd", "d", "v1d"))]
)
def test_variants_with_the_same_names_are_all_told(depth, variants):
    description = describe(meta_backbone(depth, "vd"))
    assert description.variants == variants
    assert description.backbone["variant"] == "vd"


def test_projections_tell_the_variants_of_basic_blocks():
    assert describe(meta_backbone(18, "d")).variants == ("d", "v1d")
    assert describe(meta_backbone(18, "v1c")).variants == ("v1c",)
    assert describe(meta_backbone(50, "v1c")).variants == ("v1c",)


@pytest.mark.parametrize("where", ["config", "network"])
@pytest.mark.parametrize("inside", [False, True])
def test_what_the_file_says_counts(where, inside):
    said = {
        "backbone": {"variant": "d", "output_stride": 16},
        "head": {"dropout": 0.3, "align_corners": True},
        "auxiliary_head": {"dropout": 0.2},
        "protocol": {"name": "mmseg"},
    }
    extra = {"gcseg": {where: said}}
    description = describe(meta_gcnet("r50"), {"meta": extra} if inside else extra)
    assert description.backbone["variant"] == "d"
    assert description.variants == ("d",)
    assert description.backbone["output_stride"] == 16
    assert description.head["dropout"] == 0.3
    assert description.head["align_corners"] is True
    assert description.auxiliary_head["dropout"] == 0.2
    assert description.protocol == "mmseg"


@pytest.mark.parametrize(
    "extra",
    [{"gcseg": 3}, {"gcseg": {"config": {"protocol": {"name": "mine"}}}},
     {"gcseg": {"config": None}}, {"gcseg": {"config": {"backbone": "r18"}}},
     {"meta": "text"}, {"meta": {"gcseg": {"network": {"backbone": {"variant": "v1b"}}}}}],
    ids=str,
)  # fmt: skip
def test_other_content_of_a_file_says_nothing(extra):
    state = meta_gcnet("r50")
    assert describe(state, extra) == describe(state)


def test_the_caller_may_know_more():
    state = meta_gcnet("r50")
    description = describe(state, variant="v1d", align_corners=True)
    assert description.backbone["variant"] == "v1d"
    assert description.head["align_corners"] is True
    with pytest.raises(
        WeightsError, match=(r"gcseg r50 does not have variant " r"v1c: give vd or d or v1d")
    ):
        describe(state, variant="v1c")
    with pytest.raises(WeightsError, match=r"does not have variant d: give vd"):
        describe(state, {"gcseg": {"config": {"backbone": {"variant": "vd"}}}}, variant="d")


@pytest.mark.parametrize("names", [[], ["fc.weight"], ["a", "b", "c", "d"]])
def test_unknown_networks_are_refused_by_their_names(names):
    with pytest.raises(WeightsError) as raised:
        describe({name: torch.ones(3) for name in names})
    shown = ", ".join(names[:3]) or "none"
    assert str(raised.value).startswith(
        f"the weights are of no network that is known, with names such as {shown}: give a GCNet of"
    )


def test_resnets_of_other_sizes_are_refused():
    state = meta_backbone(18, "v1c")
    state["backbone.layer4.2.conv1.weight"] = torch.empty(512, 512, 3, 3, device="meta")
    with pytest.raises(WeightsError, match="no network that is known"):
        describe(state)


def test_variants_that_are_not_ours_are_refused():
    state = {
        PADDLESEG_GCNET.to_theirs(name): tensor
        for name, tensor in meta_backbone(18, "v1c").items()
        if not name.endswith("num_batches_tracked") and "downsample" not in name
    }
    with pytest.raises(
        WeightsError, match="r18 has an unknown variant, with a 3x3 stem: give one of"
    ):
        describe(state)


def test_every_mismatch_is_in_the_error():
    named = {PADDLESEG_GCNET.to_theirs(name): t for name, t in meta_gcnet("r18").items()}
    named.pop(None)
    del named["head.conv_bn_relu2._conv.weight"]
    named["head.auxlayer.conv.bias"] = torch.empty(7, device="meta")
    named["head.gc_block.channel_add_conv.7.weight"] = torch.empty(7, device="meta")
    with pytest.raises(WeightsError) as raised:
        describe(named)
    assert str(raised.value) == (
        "the weights are not a whole network: PaddleSeg's GCNet r18, but there is no "
        "head.conv_bn_relu2._conv.weight; head.auxlayer.conv.bias is 7 and not 19; "
        "head.gc_block.channel_add_conv.7.weight is not part of the network: give the complete file"
    )


@pytest.mark.parametrize("name", ["head.conv_in.0.weight", "head.classifier.weight"])
def test_a_head_without_its_ends_is_no_head(name):
    state = meta_gcnet("r18")
    del state[name]
    with pytest.raises(
        WeightsError,
        match=(r"is not part of the network.* and \d+ " r"more: give the complete file"),
    ):
        describe(state)


def test_names_beside_the_network_are_told():
    state = meta_gcnet("r18") | {"loss.weight": torch.ones(19), "ema.decay": torch.ones(())}
    assert describe(state).unknown == ("loss.weight", "ema.decay")


TELLING = [f"{module}.weight" for module in architecture._TELLING]


def with_module(name: str) -> dict[str, torch.Tensor]:
    """The state of a network that has the tensor of this name."""
    return dict(next(state for state in states() if name in state))


@functools.cache
def states() -> list[dict[str, torch.Tensor]]:
    """The states of a network with each block and with each head."""
    states = [meta_gcnet("r18", fusion="add+multiply")]
    with without_values():
        backbone = resnet(18)
        for block in (NonLocalBlock, SqueezeExcitationBlock):
            head = FCNHead(512, 19, channels=32, context=block(32))
            states.append(shapes(Segmentor(backbone, head)))
        for kind in HEAD_CLASSES.values():
            taken = taken_by(kind, backbone.channels)
            network = Segmentor(backbone, kind(taken, 19, channels=32), AuxiliaryHead(256, 19))
            states.append(shapes(network))
    return states


@pytest.mark.parametrize("shape", [(), (5,), (8, 8), (1,) * 64], ids=len)
@pytest.mark.parametrize("name", TELLING)
def test_what_shows_the_sizes_is_a_convolution(name, shape):
    state = with_module(name)
    assert state[name].ndim == 4
    state[name] = torch.empty(shape, device="meta")
    with pytest.raises(WeightsError) as raised:
        describe(state)
    assert str(raised.value).startswith(f"{name} is ")
    assert "but a convolution has four sizes from 1 to 65,536: give" in str(raised.value)
    assert len(str(raised.value)) < 250


@pytest.mark.parametrize("shape", [(0, 512, 3, 3), (2**40, 0, 3, 3), (2**17, 1, 1, 1)], ids=str)
@pytest.mark.parametrize("name", TELLING)
def test_sizes_that_no_convolution_has_build_nothing(name, shape):
    state = with_module(name)
    state[name] = torch.empty(shape, device="meta")
    with pytest.raises(WeightsError, match="but a convolution has four sizes"):
        describe(state)


@pytest.mark.parametrize("number", ["9" * 5000, "12345", "٣"])
def test_numbers_that_no_block_has_are_part_of_no_network(number):
    name = f"backbone.layer1.{number}.conv1.weight"
    state = meta_gcnet("r18") | {name: torch.ones(())}
    assert describe(state).unknown == (name,)


def test_shapes_are_shown_in_short():
    assert architecture.show(torch.Size([1, 2])) == "1 x 2"
    assert architecture.show(torch.Size([])) == "a scalar"
    assert architecture.show(torch.Size([1] * 64)) == "a tensor of 64 dimensions"
