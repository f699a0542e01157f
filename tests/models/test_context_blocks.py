"""The context blocks next to the global one: their papers' formulas, and what holds for each."""

import numpy as np
import pytest
import torch
import yaml
from torch.nn import functional as F

from gcseg.config.compose import source_folder
from gcseg.errors import ConfigError
from gcseg.models import (
    DisentangledNonLocalBlock,
    FCNHead,
    GlobalContextBlock,
    NonLocalBlock,
    Segmentor,
    SimplifiedNonLocalBlock,
    SqueezeExcitationBlock,
    resnet,
)
from gcseg.models.context.non_local import QUERIES
from gcseg.models.defaults import CONTEXT_BLOCKS, CONTEXT_CLASSES
from gcseg.weights import describe, load_tensors
from gcseg.weights.architecture import build, without_values
from gcseg.weights.overrides import overrides
from tests.golden import expected, image, parameters
from tests.tiny import drawn

CHANNELS = 12
PAIRWISE = ("embedded_gaussian", "gaussian", "dot_product", "concatenation")
BLOCKS = [
    (GlobalContextBlock, {"ratio": 0.5, "layer_norm": False}),
    (GlobalContextBlock, {"ratio": 0.5, "fusion": "add+multiply"}),
    *((NonLocalBlock, {"pairwise": pairwise}) for pairwise in PAIRWISE),
    (NonLocalBlock, {"batch_norm": False, "ratio": 1.0}),
    (SimplifiedNonLocalBlock, {}),
    (SqueezeExcitationBlock, {"ratio": 0.25}),
    (DisentangledNonLocalBlock, {}),
    (DisentangledNonLocalBlock, {"pairwise": "dot_product", "batch_norm": False}),
]


def each(blocks):
    names = [f"{block.__name__} {settings}" for block, settings in blocks]
    return pytest.mark.parametrize(("block", "settings"), blocks, ids=names)


every_block = each(BLOCKS)


def features(seed=1, height=5, width=7):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, CHANNELS, height, width, generator=generator)


def linear(conv, x):
    """A 1x1 convolution of positions N x HW x C, written with a matrix."""
    y = x @ conv.weight.flatten(1).T
    return y if conv.bias is None else y + conv.bias


def out(block, y):
    """The convolution and the batch norm that end a block, of N x HW x C'."""
    y = linear(block.conv_out[0], y)
    if len(block.conv_out) == 1:
        return y
    norm = block.conv_out[1]
    y = (y - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
    return y * norm.weight + norm.bias


def softmax(weights):
    exponents = (weights - weights.amax(-1, keepdim=True)).exp()
    return exponents / exponents.sum(-1, keepdim=True)


def pairs(block, x):
    """The weight of each position j for each i, N x HW x HW, as the papers write it."""
    if block.pairwise == "gaussian":
        return softmax(torch.einsum("nic,njc->nij", x, x))
    first, second = linear(block.theta, x), linear(block.phi, x)
    if isinstance(block, DisentangledNonLocalBlock):
        first = first - first.mean(1, keepdim=True)
        second = second - second.mean(1, keepdim=True)
    count, hidden = first.shape[1:]
    if block.pairwise == "concatenation":
        both = torch.cat([first[:, :, None].expand(-1, -1, count, -1),
                          second[:, None].expand(-1, count, -1, -1)], dim=-1)  # fmt: skip
        return F.relu(both @ block.concat_project.weight.flatten()) / count
    products = torch.einsum("nic,njc->nij", first, second)
    if block.pairwise == "dot_product":
        return products / count
    temperature = 0.05 if isinstance(block, DisentangledNonLocalBlock) else 1
    return softmax(products / (hidden**0.5 * temperature))


def formula(block, x):
    """What a block gives for positions N x HW x C."""
    if isinstance(block, SimplifiedNonLocalBlock):
        weights = softmax(linear(block.conv_mask, x)[..., 0])
        mean = torch.einsum("nj,njc->nc", weights, x)
        return x + linear(block.conv_value, mean[:, None])
    if isinstance(block, SqueezeExcitationBlock):
        hidden = linear(block.conv1, x.mean(1, keepdim=True)).clamp(min=0)
        return x / (1 + (-linear(block.conv2, hidden)).exp())
    values = linear(block.g, x)
    y = pairs(block, x) @ values
    if isinstance(block, DisentangledNonLocalBlock):
        weights = softmax(linear(block.conv_mask, x)[..., 0])
        y = y + torch.einsum("nj,njc->nc", weights, values)[:, None]
    return x + out(block, y)


@pytest.mark.parametrize("seed", [0, 1])
@each([one for one in BLOCKS if one[0] is not GlobalContextBlock])  # see test_context.py
def test_equals_the_formula(block, settings, seed):
    made = drawn(block(CHANNELS, **settings), seed)
    x = features(seed + 10)
    with torch.no_grad():
        found = made(x).flatten(2).transpose(1, 2)
        wanted = formula(made, x.flatten(2).transpose(1, 2))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_without_scale_and_layer_norm():
    made = drawn(NonLocalBlock(CHANNELS, scale=False, ratio=1.0))
    x = features()
    with torch.no_grad():
        positions = x.flatten(2).transpose(1, 2)
        products = linear(made.theta, positions) @ linear(made.phi, positions).transpose(1, 2)
        wanted = positions + out(made, softmax(products) @ linear(made.g, positions))
        torch.testing.assert_close(made(x).flatten(2).transpose(1, 2), wanted, rtol=1e-4, atol=1e-5)
        context = drawn(GlobalContextBlock(CHANNELS, pooling="average", layer_norm=False))
        first, _, _, last = context.channel_add_conv
        mean = x.mean(dim=(2, 3))[:, None]
        added = linear(last, linear(first, mean).clamp(min=0))[:, 0, :, None, None]
        torch.testing.assert_close(context(x), x + added)


@every_block
def test_every_block_keeps_the_shape_and_trains(block, settings):
    made = block(CHANNELS, **settings).train()
    x = features().requires_grad_()
    y = made(x)
    assert y.shape == x.shape
    (drawn(made).train()(x) ** 2).sum().backward()
    assert x.grad.isfinite().all()
    assert all(parameter.grad is not None for parameter in made.parameters())


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("block", [NonLocalBlock, DisentangledNonLocalBlock])
def test_non_local_blocks_start_as_the_identity(block, batch_norm):
    x = features()
    made = block(CHANNELS, batch_norm=batch_norm).train()
    assert torch.equal(made(x), x)
    assert torch.equal(SimplifiedNonLocalBlock(CHANNELS)(x), x)


@pytest.mark.parametrize("pairwise", PAIRWISE[:2])
@pytest.mark.parametrize("width", [7, QUERIES // 4])
def test_the_attention_is_the_mean_over_the_positions_that_look(pairwise, width):
    made = drawn(NonLocalBlock(CHANNELS, pairwise=pairwise))
    x = features(width=width)
    with torch.no_grad():
        found = made.attention(x)
        wanted = pairs(made, x.flatten(2).transpose(1, 2)).mean(dim=1).view(2, 1, 5, width)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(found.sum(dim=(1, 2, 3)), torch.ones(2))


def test_the_attention_of_a_disentangled_block_has_both_kinds():
    made = drawn(DisentangledNonLocalBlock(CHANNELS))
    x = features()
    with torch.no_grad():
        positions = x.flatten(2).transpose(1, 2)
        single = softmax(linear(made.conv_mask, positions)[..., 0])
        wanted = (pairs(made, positions).mean(dim=1) + single) / 2
        torch.testing.assert_close(made.attention(x).flatten(1), wanted)


@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_float16_is_enough_for_large_maps(pairwise):
    """Sums over 9,216 positions, of features as a ReLU leaves them, are within its range."""
    made = drawn(NonLocalBlock(64, pairwise=pairwise))
    x = 3 * torch.randn(1, 64, 96, 96, generator=torch.Generator().manual_seed(2)).relu()
    with torch.no_grad():
        wanted, found = made(x), made.half()(x.half()).float()
    assert found.isfinite().all()
    assert (found - wanted).abs().max() < 0.02 * wanted.abs().max()


@pytest.mark.parametrize("pairwise", PAIRWISE[2:])
def test_weights_that_do_not_sum_to_one_are_no_attention(pairwise):
    with pytest.raises(ConfigError, match=f"weights are those of {pairwise}"):
        NonLocalBlock(CHANNELS, pairwise=pairwise).attention(features())


@pytest.mark.parametrize(
    ("block", "settings", "message"),
    [
        (NonLocalBlock, {"pairwise": "cosine"}, "pairwise"),
        (NonLocalBlock, {"ratio": 0.01}, "leaves no hidden channel"),
        (DisentangledNonLocalBlock, {"pairwise": "gaussian"}, "pairwise"),
        (DisentangledNonLocalBlock, {"temperature": 0}, "temperature=0: give a number above 0"),
        (DisentangledNonLocalBlock, {"temperature": 1e-320}, "temperature=1e-320: give"),
        (DisentangledNonLocalBlock, {"temperature": "1"}, "temperature='1': give"),
        (GlobalContextBlock, {"ratio": float("inf")}, "ratio=inf: give"),
        (GlobalContextBlock, {"ratio": float("nan")}, "ratio=nan: give"),
        (NonLocalBlock, {"ratio": "0.5"}, "ratio='0.5': give"),
        (SqueezeExcitationBlock, {"ratio": None}, "ratio=None: give"),
        (SqueezeExcitationBlock, {}, "leaves no hidden channel"),
    ],
)
def test_what_is_refused(block, settings, message):
    with pytest.raises(ConfigError, match=message):
        block(CHANNELS, **settings)


def test_parameters_at_the_papers_position():
    """Learnt values at the last block of the fourth stage, 1024 channels: table 1a of GCNet."""

    def millions(block, **settings):
        with without_values():
            made = block(1024, **settings)
        return sum(parameter.numel() for parameter in made.parameters()) / 1e6

    assert round(millions(NonLocalBlock, batch_norm=False), 2) == 2.10
    assert round(millions(SimplifiedNonLocalBlock), 2) == 1.05
    assert round(millions(GlobalContextBlock, ratio=1 / 16), 2) == 0.13


def test_conf_has_the_constructors_defaults():
    files = {path.stem: yaml.safe_load(path.read_text())
             for path in (source_folder("conf") / "context").glob("*.yaml")}  # fmt: skip
    assert files.pop("none") == {"name": "none", "_target_": None}
    assert files == {name: {"name": name, **usual} for name, usual in CONTEXT_BLOCKS.items()}


# ------------------------------------------------------------------------------------ checkpoints


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mmseg_nonlocal_r18", {}),
        ("mmseg_nonlocal_r18_dot_product", {"pairwise": "dot_product"}),
        ("mmseg_nonlocal_r18_concatenation", {}),
        ("mmseg_dnl_r18", {}),
    ],
)
def test_logits_are_mmsegmentations(name, said):
    tensors = parameters(name)
    record = {"gcseg": {"format": 1, "config": {"head": {"context": said}}}}
    description = describe(tensors, record)
    assert description.keys.source.startswith("mmsegmentation's")
    assert description.protocol == "mmseg" and description.num_classes == 5
    made = build(description)
    load_tensors(made, tensors, source=name)
    wanted = expected(name)["main"]
    with torch.no_grad():
        found = made.eval()(image((1, 3, 33, 49), seed=18)).numpy()
    assert np.abs(found - wanted).max() / np.abs(wanted).max() < 1e-5
    assert (found.argmax(1) == wanted.argmax(1)).all()


def network(block):
    with without_values():
        backbone = resnet(18)
        return Segmentor(backbone, FCNHead(backbone.channels[3], 4, channels=32, context=block))


def described(network, **said):
    record = {"gcseg": {"format": 1, "config": {"head": {"context": said}}}}
    return describe(network.state_dict(), record if said else {})


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("gc", {"layer_norm": False}),
        ("nl", {}),
        ("nl", {"pairwise": "gaussian"}),
        ("nl", {"pairwise": "concatenation", "ratio": 0.25, "batch_norm": False}),
        ("snl", {}),
        ("se", {"ratio": 0.125}),
        ("dnl", {}),
        ("dnl", {"ratio": 1 / 3}),
    ],
)
def test_the_weights_show_the_block(name, settings):
    with without_values():
        made = network(CONTEXT_CLASSES[name](32, **settings))
    description = described(made)
    assert description.head["name"] == "fcn"
    found = description.head["context"]
    assert found["name"] == name and found["_target_"] == CONTEXT_BLOCKS[name]["_target_"]
    assert {**CONTEXT_BLOCKS[name], **settings}.items() <= {**found, **settings}.items()
    assert f"context={name}" in overrides(description)
    with without_values():
        again = build(description).state_dict()
    assert {key: value.shape for key, value in again.items()} == {
        key: value.shape for key, value in made.state_dict().items()
    }


def test_what_weights_do_not_show_is_as_recorded():
    with without_values():
        made = network(DisentangledNonLocalBlock(32))
    block = described(made, temperature=0.1, scale=False, pairwise="dot_product").head["context"]
    assert (block["temperature"], block["scale"], block["pairwise"]) == (0.1, False, "dot_product")
