"""Heads that take several stages or the auxiliary logits: sizes, wrong settings, one's own."""

import pytest
import torch
from torch import nn

from gcseg.errors import ConfigError
from gcseg.models import AuxiliaryHead, DeepLabV3PlusHead, OCRHead, Segmentor, UPerNetHead
from gcseg.models.contract import check_head, check_stages
from gcseg.models.segmentor import taken_by
from tests.tiny import CHANNELS, TinyBackbone, drawn


class Own(nn.Module):
    """A head of one's own, of two stages and the auxiliary logits."""

    stages = (2, 4)
    takes_regions = True

    def __init__(self, in_channels, num_classes, classes=None):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(c, classes or num_classes, 1) for c in in_channels)

    def forward(self, features, regions):
        maps = [conv(x) for conv, x in zip(self.convs, features, strict=True)]
        size = maps[0].shape[-2:]
        maps += [regions]
        return sum(nn.functional.interpolate(one, size) for one in maps)


def test_what_a_head_takes():
    assert taken_by(nn.Identity(), CHANNELS) == CHANNELS[3]
    assert taken_by(Own, CHANNELS) == [CHANNELS[1], CHANNELS[3]]
    assert taken_by(DeepLabV3PlusHead, "abcd") == ["a", "d"]


def test_heads_of_ones_own():
    head = Own((8, 16), 5)
    check_head("head", head, (8, 16), 5)
    network = Segmentor(TinyBackbone(), head, AuxiliaryHead(16, 5))
    logits, auxiliary = network(torch.randn(2, 3, 32, 48), auxiliary=True)
    assert logits.shape == auxiliary.shape == (2, 5, 32, 48)
    with pytest.raises(ConfigError, match=r"RuntimeError"):
        check_head("head", Own((8, 16), 5, classes=6), (8, 16), 5)
    with pytest.raises(ConfigError, match=r"has stages=\(2, 4\), and what its _target_ names has"):
        check_head("head", head, 16, 5)


@pytest.mark.parametrize("stages", [(), (0, 1), (4, 1), (1, 1), (1, 5), "14", ("1",), 3])
def test_stages_that_there_are_not(stages):
    target = type("Head", (), {"stages": stages})
    with pytest.raises(ConfigError, match="give a tuple of numbers from 1 to 4, ascending"):
        check_stages("mine.Head", target)


def test_regions_need_an_auxiliary_head(train):
    with pytest.raises(ConfigError, match="finds regions by the auxiliary head's logits"):
        Segmentor(TinyBackbone(), OCRHead(16, 5, channels=8))
    error = train("head=ocr", "auxiliary_head=none").error
    assert error.endswith("there is no auxiliary head: give one, such as auxiliary_head=fcn")


def test_the_main_loss_trains_the_auxiliary_head():
    head = OCRHead(16, 5, channels=8, key_channels=4)
    network = Segmentor(TinyBackbone(), head, AuxiliaryHead(16, 5))
    network(torch.randn(2, 3, 32, 48)).square().mean().backward()
    assert network.auxiliary_head.classifier.weight.grad.abs().sum() > 0


def test_ocr_is_the_formula():
    """Each position's attention to the mean features of each region, as the paper writes it."""
    head = drawn(OCRHead(12, 3, channels=8, key_channels=4))
    x, regions = torch.randn(1, 12, 4, 5), torch.randn(1, 3, 4, 5)
    with torch.no_grad():
        found = head(x, regions)
        pixels = head.conv(x)
        objects = []
        for k in range(3):
            weights = regions[0, k].exp() / regions[0, k].exp().sum()
            objects.append((pixels[0] * weights).sum(dim=(1, 2)))
        stacked = torch.stack(objects, dim=1)[None, :, :, None]
        key, value = head.key(stacked)[0, :, :, 0], head.value(stacked)[0, :, :, 0]
        query = head.query(pixels)[0]
        context = torch.empty(1, 4, 4, 5)
        for i in range(4):
            for j in range(5):
                similar = (query[:, i, j] @ key / 4**0.5).exp()
                context[0, :, i, j] = (value * similar).sum(dim=1) / similar.sum()
        wanted = head.classifier(head.fuse(torch.cat([head.out(context), pixels], dim=1)))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (DeepLabV3PlusHead, {"dilations": []}, "dilations is empty"),
        (DeepLabV3PlusHead, {"dilations": [1, 0]}, "dilations is 0"),
        (DeepLabV3PlusHead, {"pyramid_kernel": 2}, "pyramid_kernel is 2: choose one of 1, 3"),
        (DeepLabV3PlusHead, {"low_channels": 0}, "low_channels is 0"),
        (UPerNetHead, {"bins": []}, "bins is empty"),
        (UPerNetHead, {"channels": 0}, "channels is 0"),
        (OCRHead, {"key_channels": 0}, "key_channels is 0"),
        (OCRHead, {"dropout": 1.0}, "dropout is 1.0"),
    ],
)
def test_wrong_settings(kind, settings, message):
    with torch.device("meta"), pytest.raises(ConfigError, match=message):
        kind(taken_by(kind, CHANNELS), 5, **settings)


@pytest.mark.parametrize("kind", [DeepLabV3PlusHead, UPerNetHead])
def test_one_picture_has_no_statistics(kind):
    network = Segmentor(TinyBackbone(), kind(taken_by(kind, CHANNELS), 5, channels=8))
    with pytest.raises(ConfigError, match=r"a pass of one picture, where its mean is one number"):
        network(torch.randn(1, 3, 32, 48))
    assert network.eval()(torch.randn(1, 3, 33, 49)).shape == (1, 5, 33, 49)
