"""Attention maps: those that the network itself uses, or a clear word that there are none."""

import pytest
import torch
from torch import nn

from gcseg.errors import ConfigError
from gcseg.models import FCNHead, Segmentor, gcnet
from tests.models.networks import trained_like
from tests.tiny import CHANNELS, TinyBackbone

SMALL = {"backbone": "r18", "num_classes": 5, "channels": 16}


@pytest.mark.parametrize("pooling", ["attention", "average"])
def test_is_what_forward_pools_with(pooling):
    model = trained_like(gcnet(**SMALL, pooling=pooling, auxiliary=False), seed=1)
    seen = {}
    block = model.head.context
    block.register_forward_hook(lambda _, inputs, output: seen.update(x=inputs[0], y=output))
    x = torch.randn(2, 3, 65, 97)
    with torch.no_grad():
        model(x)
        weights = model.attention(x)
        context = (seen["x"] * weights).sum(dim=(2, 3), keepdim=True)
        added = block.channel_add_conv(context)
    assert weights.shape == (2, 1, 9, 13)
    torch.testing.assert_close(weights.sum(dim=(2, 3)), torch.ones(2, 1))
    torch.testing.assert_close(seen["x"] + added, seen["y"])
    uniform = torch.full_like(weights, 1 / weights[0].numel())
    assert torch.allclose(weights, uniform) == (pooling == "average")


def test_leaves_the_network_as_it_was():
    model = gcnet(**SMALL).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    x = torch.randn(1, 3, 33, 40)
    generator = torch.get_rng_state()
    with torch.no_grad():
        logits = model(x)
        model.attention(x)
        assert torch.equal(model(x), logits)
    assert torch.equal(torch.get_rng_state(), generator)
    assert not model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert model.state_dict().keys() == before.keys()


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (FCNHead(CHANNELS[3], 4, channels=8), "no context block"),
        (FCNHead(CHANNELS[3], 4, channels=8, context=nn.Identity()), "Identity"),
        (nn.Conv2d(CHANNELS[3], 4, 1), "Conv2d"),
    ],
)
def test_a_head_without_it_is_named(head, kind):
    model = Segmentor(TinyBackbone(), head).eval()
    with pytest.raises(ConfigError) as raised:
        model.attention(torch.randn(1, 3, 32, 32))
    assert str(raised.value) == (
        f"the head has no attention map ({kind}): take head=gc, or head=fcn "
        "with context=nl, snl or dnl"
    )
