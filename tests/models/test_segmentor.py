"""Heads and whole networks: shapes, modes, wrong arguments, compilation and distribution."""

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from gcseg.errors import ConfigError
from gcseg.models import (
    AuxiliaryHead,
    FCNHead,
    GCHead,
    GlobalContextBlock,
    Segmentor,
    gcnet,
    resnet,
)
from tests.tiny import TinyBackbone

SMALL = {"backbone": "r18", "num_classes": 5, "channels": 16}


@pytest.mark.parametrize("head", [FCNHead, GCHead, AuxiliaryHead])
@pytest.mark.parametrize("conv_bias", [True, False])
def test_heads_share_one_contract(head, conv_bias):
    module = head(in_channels=12, num_classes=7, channels=8, conv_bias=conv_bias)
    logits = module(torch.randn(2, 12, 5, 6))
    assert logits.shape == (2, 7, 5, 6)
    before_norm = [
        name for name, _ in module.named_parameters() if name.startswith("conv") and ".0." in name
    ]
    assert any(name.endswith(".0.bias") for name in before_norm) is conv_bias
    logits.square().mean().backward()
    # A context block that starts at zero holds back the gradient of what is before its last layer.
    assert all(
        parameter.grad is not None and (parameter.grad.abs().sum() > 0 or "context" in name)
        for name, parameter in module.named_parameters()
        if not name.endswith(".0.bias")  # batch norm takes away what such a bias adds
    )


def test_gc_head_that_adds_nothing_is_the_baseline():
    with_context = GCHead(12, 7, channels=8).eval()
    baseline = FCNHead(12, 7, channels=8).eval()
    names = baseline.load_state_dict(with_context.state_dict(), strict=False)
    assert not names.missing_keys
    assert all(name.startswith("context.") for name in names.unexpected_keys)
    x = torch.randn(2, 12, 5, 6)
    torch.testing.assert_close(baseline(x), with_context(x))


def test_head_takes_any_context_that_keeps_the_shape():
    x = torch.randn(2, 12, 5, 6)
    head = FCNHead(12, 7, channels=8, context=nn.Identity()).eval()
    plain = FCNHead(12, 7, channels=8).eval()
    plain.load_state_dict(head.state_dict())
    assert torch.equal(head(x), plain(x))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("height", "width"), [(32, 48), (33, 49)])
def test_logits_have_the_size_of_the_input_in_either_mode(training, height, width):
    model = gcnet(**SMALL).train(training)
    x = torch.randn(2, 3, height, width)
    assert model(x).shape == (2, 5, height, width)
    logits, auxiliary = model(x, auxiliary=True)
    assert logits.shape == auxiliary.shape == (2, 5, height, width)


@pytest.mark.parametrize("align_corners", [False, True])
def test_auxiliary_logits_come_beside_the_same_logits(align_corners):
    model = gcnet(**SMALL, align_corners=align_corners).eval()
    x = torch.randn(1, 3, 32, 48)
    logits, auxiliary = model(x, auxiliary=True)
    assert torch.equal(logits, model(x))
    *_, stage3, stage4 = model.backbone(x)
    size = {"size": (32, 48), "mode": "bilinear", "align_corners": align_corners}
    assert torch.equal(auxiliary, nn.functional.interpolate(model.auxiliary_head(stage3), **size))
    assert torch.equal(logits, nn.functional.interpolate(model.head(stage4), **size))


@pytest.mark.parametrize(("height", "width"), [(32, 48), (33, 41)])
def test_upper_left_corners_aligned(height, width):
    """Each position's logits are those of the pixel at its number times the stride."""
    backbone = TinyBackbone()
    model = Segmentor(backbone, FCNHead(16, 2, channels=8), asymmetric=True).eval()
    x = torch.randn(1, 3, height, width)
    coarse = model.coarse_logits(x)
    rows, columns = (
        (torch.arange(size) * (count / size)).clamp(max=count - 1)
        for size, count in zip((height, width), coarse.shape[2:], strict=True)
    )
    tent = [
        (1 - (position[:, None] - torch.arange(count)).abs()).clamp(min=0)
        for position, count in zip((rows, columns), coarse.shape[2:], strict=True)
    ]
    with torch.no_grad():
        torch.testing.assert_close(model(x), tent[0] @ coarse @ tent[1].T, rtol=1e-4, atol=1e-5)
        aligned = Segmentor(backbone, model.head, asymmetric=True, align_corners=True).eval()
        usual = Segmentor(backbone, model.head, align_corners=True).eval()
        assert torch.equal(aligned(x), usual(x)), "all corners take precedence"


def test_without_auxiliary_head():
    model = gcnet(**SMALL, auxiliary=False)
    logits, auxiliary = model(torch.randn(2, 3, 32, 32), auxiliary=True)
    assert logits.shape == (2, 5, 32, 32)
    assert auxiliary is None
    assert not any("auxiliary" in name for name in model.state_dict())


def test_parts_compose_by_plain_arguments():
    backbone = resnet(18)
    head = FCNHead(in_channels=backbone.channels[3], num_classes=4, channels=8)
    auxiliary_head = AuxiliaryHead(in_channels=backbone.channels[2], num_classes=4)
    model = Segmentor(backbone, head, auxiliary_head).eval()
    assert model(torch.randn(1, 3, 33, 40)).shape == (1, 4, 33, 40)


def test_context_is_within_reach_for_its_map():
    model = gcnet(**SMALL).eval()
    maps = []
    block = model.head.context
    assert isinstance(block, GlobalContextBlock)
    block.register_forward_hook(lambda module, inputs, _: maps.append(module.attention(*inputs)))
    model(torch.randn(1, 3, 65, 97))
    assert maps[0].shape == (1, 1, 9, 13)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backbone": "r42"}, "backbone is 'r42': choose one of r18, r34, r50, r101, r152"),
        ({"num_classes": 0}, "num_classes is 0: give an integer of at least 1"),
        ({"channels": -1}, "channels is -1: give an integer of at least 1"),
        ({"dropout": 1.0}, "dropout is 1.0: give a fraction from 0 up to, not including, 1"),
        ({"variant": "x"}, "variant is 'x': choose one of v1b, v1c, v1d, vd, d"),
        ({"output_stride": 4}, "output_stride is 4: choose one of 8, 16, 32"),
        ({"pooling": "max"}, "pooling is 'max': choose one of attention, average"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with torch.device("meta"), pytest.raises(ConfigError) as raised:
        gcnet(**{**SMALL, **arguments})
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("pooling", "fusion"), [("average", "multiply"), ("attention", "add+multiply")]
)
def test_context_options_reach_the_block(pooling, fusion):
    block = gcnet(**SMALL, pooling=pooling, fusion=fusion, ratio=0.5).head.context
    assert (block.conv_mask is None) == (pooling == "average")
    assert (block.channel_add_conv is None) == (fusion == "multiply")
    assert block.channel_mul_conv[0].weight.shape == (8, 16, 1, 1)


def test_compiles_without_graph_breaks():
    model = gcnet(**SMALL).eval()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    x = torch.randn(1, 3, 33, 40)
    with torch.no_grad():
        pairs = zip(compiled(x, auxiliary=True), model(x, auxiliary=True), strict=True)
        assert all(torch.equal(ours, theirs) for ours, theirs in pairs)


def test_trains_under_distributed_data_parallel(tmp_path):
    store = f"file://{tmp_path}/store"
    torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    try:
        model = DistributedDataParallel(gcnet(**SMALL))
        # A second step fails if the first left a parameter without its gradient.
        for _ in range(2):
            logits, auxiliary = model(torch.randn(2, 3, 32, 32), auxiliary=True)
            (logits.mean() + auxiliary.mean()).backward()
    finally:
        torch.distributed.destroy_process_group()
