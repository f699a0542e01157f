"""The global context block against the paper's formula."""

import pytest
import torch
from torch.nn import functional as F

from gcseg.errors import ConfigError
from gcseg.models import GlobalContextBlock

FUSIONS = ("add", "multiply", "add+multiply")


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def randomised(block: GlobalContextBlock) -> GlobalContextBlock:
    """The block with no parameter left at zero."""
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return block


def transform(block: GlobalContextBlock, name: str, context: torch.Tensor) -> torch.Tensor:
    """W2 ReLU(LN(W1 context)) written with matrices; context is N x C."""
    state = block.state_dict()
    first, norm, last = (f"{name}.0", f"{name}.1", f"{name}.3")
    hidden = context @ state[f"{first}.weight"][:, :, 0, 0].T + state[f"{first}.bias"]
    hidden = F.layer_norm(
        hidden,
        hidden.shape[1:],
        state[f"{norm}.weight"].flatten(),
        state[f"{norm}.bias"].flatten(),
    )
    output = F.relu(hidden) @ state[f"{last}.weight"][:, :, 0, 0].T + state[f"{last}.bias"]
    return output[:, :, None, None]


@pytest.mark.parametrize("pooling", ["attention", "average"])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_equals_the_formula(pooling, fusion):
    block = randomised(GlobalContextBlock(12, ratio=0.5, pooling=pooling, fusion=fusion))
    x = torch.randn(2, 12, 5, 7)
    if pooling == "average":
        context = x.mean(dim=(2, 3))
    else:
        logits = torch.einsum("nchw,c->nhw", x, block.conv_mask.weight.flatten())
        exponents = logits.exp()
        weights = exponents / exponents.sum(dim=(1, 2), keepdim=True)
        context = torch.einsum("nchw,nhw->nc", x, weights)
    wanted = x
    if "multiply" in fusion:
        wanted = wanted * transform(block, "channel_mul_conv", context).sigmoid()
    if "add" in fusion:
        wanted = wanted + transform(block, "channel_add_conv", context)
    with torch.no_grad():
        torch.testing.assert_close(block(x), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_average_pooling_is_attention_without_preference(fusion):
    attention = randomised(GlobalContextBlock(8, pooling="attention", fusion=fusion))
    torch.nn.init.zeros_(attention.conv_mask.weight)
    average = GlobalContextBlock(8, pooling="average", fusion=fusion)
    average.load_state_dict(
        {name: tensor for name, tensor in attention.state_dict().items() if "mask" not in name}
    )
    x = torch.randn(2, 8, 4, 6)
    torch.testing.assert_close(average(x), attention(x))


@pytest.mark.parametrize(("fusion", "factor"), [("add", 1), ("multiply", 0.5)])
def test_starts_as_the_identity_or_as_half_of_it(fusion, factor):
    x = torch.randn(2, 8, 4, 6)
    torch.testing.assert_close(GlobalContextBlock(8, fusion=fusion)(x), factor * x)


def test_attention_is_a_distribution_that_follows_the_mask():
    block = GlobalContextBlock(4)
    x = torch.zeros(1, 4, 3, 5)
    x[0, :, 1, 2] = 20 * block.conv_mask.weight.sign().flatten()
    attention = block.attention(x)
    assert attention.shape == (1, 1, 3, 5)
    torch.testing.assert_close(attention.sum(), torch.tensor(1.0))
    assert attention.argmax() == 1 * 5 + 2


def test_average_pooling_has_a_flat_map():
    attention = GlobalContextBlock(4, pooling="average").attention(torch.randn(2, 4, 3, 5))
    torch.testing.assert_close(attention, torch.full((2, 1, 3, 5), 1 / 15))


@pytest.mark.parametrize(("ratio", "hidden"), [(0.25, 16), (1 / 16, 4), (0.3, 19)])
def test_hidden_width_is_a_fraction_rounded_down(ratio, hidden):
    block = GlobalContextBlock(64, ratio=ratio)
    assert block.channel_add_conv[0].weight.shape == (hidden, 64, 1, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pooling": "max"}, "pooling is 'max': choose one of attention, average"),
        ({"fusion": "mul"}, "fusion is 'mul': choose one of add, multiply, add+multiply"),
        ({"ratio": 0.1}, "ratio 0.1 of 8 channels leaves no hidden channel: give a ratio of at"),
        ({"channels": 0}, "channels is 0: give an integer of at least 1"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ConfigError) as raised:
        GlobalContextBlock(**{"channels": 8, **arguments})
    assert str(raised.value).startswith(message)
