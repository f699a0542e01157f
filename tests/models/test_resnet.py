"""One contract for every backbone: depths, variants and output strides."""

import math

import numpy as np
import pytest
import torch

from gcseg.errors import ConfigError
from gcseg.models import ResNet, resnet
from gcseg.weights.architecture import without_values
from gcseg.weights.keymaps import KEY_MAPS
from tests.golden import BACKBONES as GOLDEN
from tests.golden import backbone_image, expected, parameters

DEPTHS = (18, 34, 50, 101, 152)
VARIANTS = ("vd", "v1c", "v1b", "v1d", "d")
CHANNELS = {"basic": (64, 128, 256, 512), "bottleneck": (256, 512, 1024, 2048)}
STRIDES = {8: (4, 8, 8, 8), 16: (4, 8, 16, 16), 32: (4, 8, 16, 32)}
BACKBONES = pytest.mark.parametrize(
    ("depth", "variant"),
    [(18, "vd"), (18, "v1c"), (18, "v1b"), (18, "v1d"), (18, "d"), (50, "vd"), (50, "d")],
)


@pytest.mark.parametrize("output_stride", STRIDES)
@pytest.mark.parametrize(
    ("depth", "variant"),
    [(depth, "vd") for depth in DEPTHS]
    + [(depth, variant) for depth in (18, 50) for variant in VARIANTS[1:]],
)
def test_features_have_the_promised_shapes(depth, variant, output_stride):
    # Deep ones are slow to build, even on the device of shapes without values.
    sizes = [(64, 96), (65, 97), (33, 50), (1, 1)] if depth == 18 else [(65, 97)]
    with without_values(), torch.no_grad():
        backbone = resnet(depth, variant=variant, output_stride=output_stride).eval()
        assert backbone.channels == CHANNELS["basic" if depth < 50 else "bottleneck"]
        for height, width in sizes:
            features = backbone(torch.empty(2, 3, height, width))
            assert [tuple(feature.shape) for feature in features] == [
                (2, channels, math.ceil(height / stride), math.ceil(width / stride))
                for channels, stride in zip(backbone.channels, STRIDES[output_stride], strict=True)
            ]


# Counted without a classifier from the published implementations: torchvision's parameters (v1b)
# less its fully connected layer.
@pytest.mark.parametrize(
    ("depth", "total"),
    [
        (18, 11_689_512 - 513_000),
        (34, 21_797_672 - 513_000),
        (50, 25_557_032 - 2_049_000),
        (101, 44_549_160 - 2_049_000),
        (152, 60_192_808 - 2_049_000),
    ],
)
def test_plain_variant_has_as_many_parameters_as_torchvision(depth, total):
    with without_values():
        backbone = resnet(depth, variant="v1b", output_stride=32)
    assert sum(parameter.numel() for parameter in backbone.parameters()) == total


@BACKBONES
def test_gradient_reaches_every_parameter(depth, variant):
    backbone = resnet(depth, variant=variant)
    sum(feature.square().mean() for feature in backbone(torch.randn(2, 3, 17, 25))).backward()
    assert all(
        parameter.grad is not None and parameter.grad.abs().sum() > 0
        for parameter in backbone.parameters()
    )


@BACKBONES
def test_evaluation_is_deterministic_and_keeps_its_statistics(depth, variant):
    backbone = resnet(depth, variant=variant).eval()
    before = {name: buffer.clone() for name, buffer in backbone.named_buffers()}
    x = torch.randn(1, 3, 17, 25)
    with torch.no_grad():
        assert all(map(torch.equal, backbone(x), backbone(x)))
    assert all(torch.equal(buffer, before[name]) for name, buffer in backbone.named_buffers())


def dilations(backbone: ResNet, conv: str) -> list[list[int]]:
    """Of one convolution in every block, stage by stage."""
    stages = (backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4)
    return [[getattr(block, conv).dilation[0] for block in stage] for stage in stages]


@pytest.mark.parametrize(
    ("variant", "depth", "output_stride", "conv", "wanted"),
    [
        ("vd", 18, 8, "conv1", [[1, 1], [1, 1], [2, 2], [4, 4]]),
        ("vd", 18, 8, "conv2", [[1, 1], [1, 1], [2, 2], [4, 4]]),
        ("vd", 50, 8, "conv2", [[1] * 3, [1] * 4, [2] * 6, [4] * 3]),
        ("vd", 50, 16, "conv2", [[1] * 3, [1] * 4, [1] * 6, [2] * 3]),
        ("vd", 50, 32, "conv2", [[1] * 3, [1] * 4, [1] * 6, [1] * 3]),
        ("v1c", 18, 8, "conv1", [[1, 1], [1, 1], [1, 2], [2, 4]]),
        ("v1c", 18, 8, "conv2", [[1, 1], [1, 1], [1, 1], [1, 1]]),
        ("v1c", 50, 8, "conv2", [[1] * 3, [1] * 4, [1] + [2] * 5, [2, 4, 4]]),
        ("v1b", 50, 16, "conv2", [[1] * 3, [1] * 4, [1] * 6, [1, 2, 2]]),
        ("v1d", 18, 8, "conv1", [[1, 1], [1, 1], [1, 2], [2, 4]]),
        ("v1d", 18, 8, "conv2", [[1, 1], [1, 1], [1, 1], [1, 1]]),
        ("d", 18, 8, "conv1", [[1, 1], [1, 1], [1, 2], [2, 4]]),
        ("d", 18, 8, "conv2", [[1, 1], [1, 1], [2, 2], [4, 4]]),
        ("d", 50, 8, "conv2", [[1] * 3, [1] * 4, [1] + [2] * 5, [2, 4, 4]]),
    ],
)
def test_stride_is_turned_to_dilation(variant, depth, output_stride, conv, wanted):
    with without_values():
        backbone = resnet(depth, variant=variant, output_stride=output_stride)
    assert dilations(backbone, conv) == wanted


@pytest.mark.parametrize(
    ("variant", "depth", "output_stride", "first", "second"),
    [
        ("vd", 50, 8, [4, 8, 16], None),
        ("vd", 50, 16, [2, 4, 8], None),
        ("vd", 18, 8, [4, 8], [4, 8]),
        ("v1c", 50, 8, [4, 8, 16], None),
        ("v1c", 18, 8, [4, 8], [1, 1]),
    ],
)
def test_multi_grid_multiplies_the_dilation_of_the_last_stage(
    variant, depth, output_stride, first, second
):
    settings = {"variant": variant, "output_stride": output_stride}
    with without_values():
        grid = resnet(depth, **settings, multi_grid=(1, 2, 4))
        plain = resnet(depth, **settings)
        same = resnet(50, variant="vd", output_stride=output_stride, multi_grid=(1, 1, 1))
        vd = resnet(50, variant="vd", output_stride=output_stride)
    conv = "conv2" if depth == 50 else "conv1"
    assert [getattr(block, conv).dilation[0] for block in grid.layer4] == first
    if second is not None:
        assert [block.conv2.dilation[0] for block in grid.layer4] == second
    for name in ("layer1", "layer2", "layer3"):
        assert repr(getattr(grid, name)) == repr(getattr(plain, name))
    assert repr(same) == repr(vd)


@pytest.mark.parametrize(
    ("variant", "wanted"),
    [
        ("vd", [False, True, True, False]),
        ("v1d", [False, True, True, False]),
        ("d", [False, True, True, True]),
    ],
)
def test_shortcut_is_pooled_where_strided_and_in_timm_where_dilated(variant, wanted):
    with without_values():
        backbone = resnet(50, variant=variant, output_stride=16)
    pooled = [
        any(isinstance(module, torch.nn.AvgPool2d) for module in stage[0].downsample.modules())
        for stage in (backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4)
    ]
    assert pooled == wanted


def golden_backbone(name: str, **changes) -> ResNet:
    """Our backbone with the parameters of another framework's."""
    backbone = resnet(**{**GOLDEN[name], **changes}).eval()
    named = parameters(name)
    wanted = {f"backbone.{key}" for key in backbone.state_dict()}
    keys = max(KEY_MAPS, key=lambda keys: len(wanted & {keys.to_ours(key) for key in named}))
    state = {
        keys.to_ours(key).removeprefix("backbone."): tensor
        for key, tensor in named.items()
        if not keys.ignores(key)
    }
    rest = backbone.load_state_dict(state, strict=False)
    assert rest.unexpected_keys == []
    assert all(key.endswith("num_batches_tracked") for key in rest.missing_keys)
    return backbone


def errors(backbone: ResNet, name: str) -> list[float]:
    """How far the four stages' features are from another framework's, relative to the largest."""
    wanted = expected(name)
    with torch.no_grad():
        features = backbone(backbone_image(name))
    result = []
    for stage, feature in enumerate(features, start=1):
        found = feature.numpy()
        part, means = wanted[f"stage{stage}"], wanted[f"mean{stage}"]
        of_part = np.abs(found[:, :: found.shape[1] // 8] - part).max() / np.abs(part).max()
        of_means = np.abs(found.mean((0, 2, 3)) - means).max() / np.abs(means).max()
        result.append(max(of_part, of_means))
    return result


@pytest.mark.parametrize("name", GOLDEN)
def test_features_are_the_frameworks(name):
    assert max(errors(golden_backbone(name), name)) < 1e-5


# The variants with the same parameters differ from one another in the dilated stages alone.
@pytest.mark.parametrize("variant", ["vd", "v1d"])
def test_timms_is_no_other_variant(variant):
    name = "timm_resnet50d"
    first, second, third, fourth = errors(golden_backbone(name, variant=variant), name)
    assert max(first, second) < 1e-5
    assert min(third, fourth) > 0.01


@pytest.mark.parametrize("variant", ["v1d", "d"])
def test_variants_with_pooled_shortcuts_agree_without_dilation(variant):
    name = "paddleclas_resnet50_vd"
    assert max(errors(golden_backbone(name, variant=variant), name)) < 1e-5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 42}, "depth is 42: choose one of 18, 34, 50, 101, 152"),
        ({"output_stride": 4}, "output_stride is 4: choose one of 8, 16, 32"),
        ({"variant": "v1e"}, "variant is 'v1e': choose one of v1b, v1c, v1d, vd, d"),
        (
            {"multi_grid": (1,)},
            "multi_grid is (1,): give one factor for each of the last stage's 2 blocks",
        ),
        ({"multi_grid": (1, 0)}, "multi_grid is 0: give an integer of at least 1"),
        ({"in_channels": 0}, "in_channels is 0: give an integer of at least 1"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ConfigError) as raised:
        resnet(**{"depth": 18, **arguments})
    assert str(raised.value) == message


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 4, 32, 32), (1, 32, 32, 3), (1, 1, 3, 32, 32)])
def test_wrong_input_is_named(shape):
    with without_values():
        backbone = resnet(18)
        with pytest.raises(ConfigError) as raised:
            backbone(torch.empty(shape))
    shown = " x ".join(map(str, shape))
    assert (
        str(raised.value) == f"the input's shape is {shown}: give a batch of images, N x 3 x H x W"
    )


def test_other_numbers_of_input_channels():
    with without_values():
        assert resnet(18, in_channels=4)(torch.empty(1, 4, 32, 32))[3].shape == (1, 512, 4, 4)
