"""The dual attention head: the paper's formulas, the branches' logits and the loss of them."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gcseg.engine.module import SegmentationModule
from gcseg.errors import ConfigError
from gcseg.losses import CrossEntropy
from gcseg.models import AuxiliaryHead, DANetHead, Segmentor
from gcseg.weights import load_tensors
from tests.tiny import TinyBackbone, drawn


def features(channels=12, height=5, width=7):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, channels, height, width, generator=generator)


def position(block, x):
    """Equation 1 and 2 of the paper, position by position."""
    query, key, value = (conv(x).flatten(2) for conv in (block.query, block.key, block.value))
    out = torch.empty_like(value)
    for i in range(x[0, 0].numel()):
        products = (query[:, :, i, None] * key).sum(dim=1)
        weights = products.exp() / products.exp().sum(dim=1, keepdim=True)
        out[:, :, i] = (weights[:, None] * value).sum(dim=2)
    return block.gamma * out.view_as(x) + x


def channel(block, x):
    """Equation 3 and 4 with the authors' softmax of the largest product minus each."""
    flat = x.flatten(2)
    products = torch.einsum("nip,njp->nij", flat, flat)
    weights = (products.amax(dim=2, keepdim=True) - products).softmax(dim=2)
    return block.gamma * torch.einsum("nij,njp->nip", weights, flat).view_as(x) + x


def test_equals_the_formula():
    head = drawn(DANetHead(12, 5, channels=8, attention_channels=3))
    x = features()
    with torch.no_grad():
        of_positions = head.position_out(position(head.position, head.position_in(x)))
        of_channels = head.channel_out(channel(head.channel, head.channel_in(x)))
        wanted = head.classifier(of_positions + of_channels)
        logits, *branches = head.forward_with_branches(x)
        torch.testing.assert_close(logits, wanted, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(branches[0], head.position_classifier(of_positions))
        torch.testing.assert_close(branches[1], head.channel_classifier(of_channels))
        assert torch.equal(head(x), logits)


def test_starts_as_two_branches_of_convolutions():
    head = DANetHead(12, 5, channels=16).eval()
    x = features(16)
    assert torch.equal(head.position(x), x) and torch.equal(head.channel(x), x)
    assert head.position.query.weight.shape == (2, 16, 1, 1)
    assert head.position.gamma == head.channel.gamma == 0


def test_the_attention_map_is_the_mean_of_the_weights():
    head = drawn(DANetHead(12, 5, channels=8))
    x = head.position_in(features())
    found = head.attention(features())
    query, key = (conv(x).flatten(2) for conv in (head.position.query, head.position.key))
    weights = torch.einsum("nci,ncj->nij", query, key).softmax(dim=2).mean(dim=1)
    torch.testing.assert_close(found.flatten(1), weights)
    torch.testing.assert_close(found.sum(dim=(1, 2, 3)), torch.ones(2))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_channels_keep_their_precision_in_mixed_precision(dtype):
    """Products of 4,000 positions with features of 5 exceed what float16 holds."""
    head = drawn(DANetHead(12, 5, channels=8))
    x = 5 * torch.rand(1, 8, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), torch.autocast("cpu", dtype=dtype):
        mixed = head.channel(x)
    torch.testing.assert_close(mixed, head.channel(x))
    assert mixed.isfinite().all()


@pytest.mark.parametrize("auxiliary", [True, False])
def test_branches_count_in_the_loss_of_a_training(auxiliary):
    backbone = TinyBackbone()
    torch.manual_seed(0)
    model = Segmentor(
        backbone,
        DANetHead(16, 5, channels=8, dropout=0.0),
        AuxiliaryHead(16, 5, dropout=0.0) if auxiliary else None,
    )
    x, labels = torch.randn(2, 3, 32, 48), torch.randint(0, 5, (2, 32, 48))
    module = SegmentationModule(model, list("abcde"), auxiliary_weight=0.3)
    logged = {}
    module._log_losses = lambda losses, *_: logged.update(losses)
    total = module.training_step({"image": x, "label": labels}, 0)
    loss = CrossEntropy()
    logits, others, *branches = model(x, auxiliary=True)
    assert len(branches) == 2 and (others is not None) == auxiliary
    wanted = loss(logits, labels) + sum(loss(branch, labels) for branch in branches)
    if auxiliary:
        wanted = wanted + 0.3 * loss(others, labels)
    torch.testing.assert_close(total, wanted)
    torch.testing.assert_close(
        logged["train/loss_branches"], sum(loss(branch, labels) for branch in branches)
    )
    total.backward()
    unused = [name for name, value in model.named_parameters() if value.grad is None]
    assert not unused, "which DistributedDataParallel would refuse"
    size = {"size": (32, 48), "mode": "bilinear", "align_corners": False}
    model.eval()
    with torch.no_grad():
        assert torch.equal(model(x), F.interpolate(model.head(backbone(x)[3]), **size))


def test_wrong_settings():
    with pytest.raises(ConfigError, match="channels is 7: give an integer of at least 8"):
        DANetHead(12, 5, channels=7)
    with pytest.raises(ConfigError, match="attention_channels is 0"):
        DANetHead(12, 5, attention_channels=0)
    assert isinstance(DANetHead(12, 5, channels=7, attention_channels=1), nn.Module)


def test_all_classifiers_may_be_of_other_classes():
    def network(classes):
        return Segmentor(TinyBackbone(), DANetHead(16, classes, channels=8))

    of_seven = network(7).state_dict()
    lines = load_tensors(network(5), of_seven, source="seven", other_classes=True)
    assert [line.split()[0] for line in lines] == [
        "head.classifier", "head.position_classifier", "head.channel_classifier",
    ]  # fmt: skip
