"""The criss-cross head: the paper's formula, its attention map and its gradients."""

import pytest
import torch
from torch import nn

from gcseg.errors import ConfigError
from gcseg.models import CCNetHead, FCNHead
from gcseg.models.heads.ccnet import CrissCrossAttention
from tests.tiny import drawn


def features(channels=16, height=5, width=7):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, channels, height, width, generator=generator)


def criss_cross(height, width, y, x):
    """Return the positions of a position's column and row, itself once, as indices."""
    column = [i * width + x for i in range(height) if i != y]
    return column + [y * width + j for j in range(width)]


def one_pass(block, x):
    """Equations 1 and 2 of the paper, position by position, and the weights of all pairs."""
    query, key, value = (conv(x).flatten(2) for conv in (block.query, block.key, block.value))
    height, width = x.shape[2:]
    out = torch.empty_like(value)
    pairs = torch.zeros(len(x), height * width, height * width)
    for at in range(height * width):
        seen = criss_cross(height, width, at // width, at % width)
        weights = (query[:, :, at, None] * key[:, :, seen]).sum(dim=1).softmax(dim=1)
        out[:, :, at] = (weights[:, None] * value[:, :, seen]).sum(dim=2)
        pairs[:, at, seen] = weights
    return block.gamma * out.view_as(x) + x, pairs


@pytest.mark.parametrize("recurrence", [1, 2, 3])
@pytest.mark.parametrize(("height", "width"), [(5, 7), (1, 4), (4, 1)])
def test_equals_the_formula(recurrence, height, width):
    block = drawn(CrissCrossAttention(16, recurrence=recurrence))
    x = y = features(height=height, width=width)
    share = torch.full((2, height * width), 1 / (height * width))
    passes = []
    with torch.no_grad():
        for _ in range(recurrence):
            y, pairs = one_pass(block, y)
            passes.append(pairs)
        torch.testing.assert_close(block(x), y, rtol=1e-4, atol=1e-4)
        for pairs in reversed(passes):
            share = torch.einsum("ni,nij->nj", share, pairs)
        found = block.attention(x)
    torch.testing.assert_close(found.flatten(1), share, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(found.sum(dim=(1, 2, 3)), torch.ones(2))


def test_two_passes_reach_all_positions():
    x = features().requires_grad_()
    for recurrence, reached in ((1, 5 + 7 - 1), (2, 5 * 7)):
        block = drawn(CrissCrossAttention(16, recurrence=recurrence))
        (gradient,) = torch.autograd.grad(block(x)[0, 3, 2, 3], x)
        assert int((gradient[0].abs().sum(dim=0) > 0).sum()) == reached


def test_the_head_is_the_baseline_at_the_start():
    head, plain = CCNetHead(12, 5, channels=16).eval(), FCNHead(12, 5, channels=16).eval()
    names = plain.load_state_dict(head.state_dict(), strict=False)
    assert names.missing_keys == ["conv_in.0.bias", "conv_out.0.bias"]  # zeros
    x = features(12)
    torch.testing.assert_close(head(x), plain(x))
    drawn(head)
    y = head.context(head.conv_in(x))
    wanted = head.classifier(head.conv_cat(torch.cat([x, head.conv_out(y)], dim=1)))
    torch.testing.assert_close(head(x), wanted)
    torch.testing.assert_close(head.attention(x).sum(dim=(1, 2, 3)), torch.ones(2))


def test_leaky_activations_are_next_to_the_attention():
    head = CCNetHead(12, 5, channels=16, negative_slope=0.01)
    assert [type(conv[2]) for conv in (head.conv_in, head.conv_out, head.conv_cat)] == [
        nn.LeakyReLU, nn.LeakyReLU, nn.ReLU,
    ]  # fmt: skip
    assert head.conv_in[2].negative_slope == 0.01


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"recurrence": 0}, "recurrence is 0: give an integer of at least 1"),
        ({"channels": 7}, "channels is 7: give an integer of at least 8"),
        ({"negative_slope": 1.5}, "negative_slope is 1.5"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ConfigError, match=message):
        CCNetHead(12, 5, **settings)


def test_nothing_is_gathered_by_index():
    """Gradients of such operations are not the same each time on a GPU."""
    block = CrissCrossAttention(16)
    x = features().requires_grad_()
    with torch.autograd.profiler.profile() as profile:
        block(x).sum().backward()
    names = {event.name for event in profile.function_events}
    assert not [name for name in names if "scatter" in name or "index" in name or "gather" in name]
