"""The pyramid pooling head: the paper's formula, sizes and wrong settings."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gcseg.config.compose import compose
from gcseg.errors import ConfigError
from gcseg.models import PSPHead
from gcseg.models.heads.parts import check_norms
from gcseg.models.heads.psp import PyramidPooling
from tests.tiny import drawn


def convolved(block, x):
    """A convolution, batch norm and ReLU, written out."""
    conv, norm, _ = block
    y = F.conv2d(x, conv.weight, conv.bias, padding=conv.padding)
    mean, variance = (value[:, None, None] for value in (norm.running_mean, norm.running_var))
    y = (y - mean) / (variance + norm.eps).sqrt()
    return (y * norm.weight[:, None, None] + norm.bias[:, None, None]).clamp(min=0)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(("height", "width"), [(5, 7), (12, 6), (1, 2)])
def test_equals_the_formula(align_corners, height, width):
    head = drawn(PSPHead(12, 5, channels=8, conv_bias=True, align_corners=align_corners))
    x = torch.randn(2, 12, height, width, generator=torch.Generator().manual_seed(1))
    maps = [x]
    for count, projection in zip((1, 2, 3, 6), head.pyramid.projections, strict=True):
        means = [
            [
                x[:, :, i * height // count : -(-(i + 1) * height // count),
                  j * width // count : -(-(j + 1) * width // count)].mean(dim=(2, 3))
                for j in range(count)
            ]
            for i in range(count)
        ]  # fmt: skip
        pooled = torch.stack([torch.stack(row, dim=-1) for row in means], dim=-2)
        size = {"size": (height, width), "mode": "bilinear", "align_corners": align_corners}
        maps.append(F.interpolate(convolved(projection, pooled), **size))
    wanted = head.classifier(convolved(head.conv, torch.cat(maps, dim=1)))
    with torch.no_grad():
        torch.testing.assert_close(head(x), wanted, rtol=1e-4, atol=1e-5)


def test_sizes():
    head = PSPHead(12, 5, channels=8, pooled_channels=7, bins=[2, 4], conv_bias=False)
    assert head.conv[0].weight.shape == (8, 12 + 2 * 7, 3, 3)
    assert head.pyramid.projections[1][0].weight.shape == (7, 12, 1, 1)
    assert PSPHead(12, 5).pyramid.projections[0][0].weight.shape == (3, 12, 1, 1)
    assert [name for name, _ in head.named_parameters() if name.endswith("0.bias")] == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bins": []}, "bins is empty"),
        ({"bins": [1, 0]}, "bins is 0: give an integer of at least 1"),
        ({"pooled_channels": 0}, "pooled_channels is 0"),
        ({"bins": list(range(1, 20))}, "pooled_channels is 0"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ConfigError, match=message):
        PSPHead(12, 5, channels=8, **settings)


def test_one_picture_can_not_be_normalised():
    head = PSPHead(12, 5, channels=8)
    with pytest.raises(ConfigError, match=r"a pass of one picture, .* a larger batch_size"):
        head(torch.randn(1, 12, 4, 4))
    assert head(torch.randn(2, 12, 4, 4)).shape == (2, 5, 4, 4)
    head.pyramid.projections.eval()
    assert head(torch.randn(1, 12, 4, 4)).shape == (1, 5, 4, 4)
    without = PSPHead(12, 5, channels=8, bins=[2, 3])
    assert without(torch.randn(1, 12, 4, 4)).shape == (1, 5, 4, 4)
    shared = nn.SyncBatchNorm.convert_sync_batchnorm(PSPHead(12, 5, channels=8))
    check_norms(shared.pyramid, torch.randn(1, 12, 1, 1), "it")  # as of all processes


def test_pooling_is_adaptive_average_pooling():
    pooling = PyramidPooling(3, 3, bins=[4], conv_bias=False).eval()
    nn.init.dirac_(pooling.projections[0][0].weight)
    x = torch.rand(2, 3, 9, 13)
    factor = (1 + pooling.projections[0][1].eps) ** -0.5
    wanted = F.interpolate(F.adaptive_avg_pool2d(x, 4) * factor, (9, 13), mode="bilinear")
    torch.testing.assert_close(pooling(x)[:, 3:], wanted)


def test_aligned_corners_reach_the_head():
    from gcseg.builders.model import model

    options = ("head=psp", "head.align_corners=true", "head.channels=8", "dataset=scenes")
    network = model(compose("train", list(options)), 5)
    assert network.align_corners and network.head.pyramid.align_corners
