"""Activations that are computed again: everything is as without, and less is kept."""

import copy

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from gcseg.models import gcnet
from gcseg.models.checkpointing import checkpointed
from tests.running import SCENES, SMALL, only_run

SIZE = {"backbone": "r18", "num_classes": 5, "channels": 16, "output_stride": 32}


def pair(seed, memory_format=torch.contiguous_format, **settings):
    """The same network without and with."""
    torch.manual_seed(seed)
    plain = gcnet(**{**SIZE, **settings}).to(memory_format=memory_format)
    ours = gcnet(**{**SIZE, **settings}, checkpoint_activations=True)
    ours.load_state_dict(plain.state_dict())
    return plain, ours.to(memory_format=memory_format)


def step(network, seed, *, accumulate=1, autocast=False, memory_format=torch.contiguous_format):
    """Losses of a training step, whose gradients and statistics are then in the network."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    losses = []
    for _ in range(accumulate):
        x = torch.randn(2, 3, 49, 65, generator=generator).contiguous(memory_format=memory_format)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast, cache_enabled=False):
            logits, auxiliary_logits = network(x, auxiliary=True)
            loss = logits.float().square().mean() + auxiliary_logits.float().square().mean()
        loss.backward()
        losses.append(loss.item())
    return losses, torch.rand(1).item()


def assert_equal(plain, ours):
    for (name, first), (same, second) in zip(
        plain.named_parameters(), ours.named_parameters(), strict=True
    ):
        assert name == same and first.grad is not None
        assert torch.equal(first.grad, second.grad), name
    for (name, first), (same, second) in zip(
        plain.named_buffers(), ours.named_buffers(), strict=True
    ):
        assert name == same and torch.equal(first, second), name


@pytest.mark.parametrize(
    ("seed", "settings", "options"),
    [
        (0, {"dropout": 0.5}, {}),
        (1, {"variant": "v1b", "output_stride": 8}, {}),
        (2, {"backbone": "r50", "variant": "d"}, {}),
        (3, {}, {"memory_format": torch.channels_last}),
        (4, {}, {"accumulate": 3}),
        pytest.param(5, {}, {"autocast": True}, marks=pytest.mark.slow),
    ],
)
def test_everything_is_as_without(seed, settings, options):
    plain, ours = pair(seed, options.get("memory_format", torch.contiguous_format), **settings)
    assert step(plain, seed, **options) == step(ours, seed, **options)
    assert_equal(plain, ours)
    norm = ours.backbone.layer1[0].bn1
    assert norm.num_batches_tracked == options.get("accumulate", 1)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_random_numbers_are_drawn_again(seed):
    torch.manual_seed(seed)
    block = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 4, 3)
    )
    other = copy.deepcopy(block)
    x = torch.randn(2, 3, 9, 9)
    for network, call in ((block, nn.Module.__call__), (other, checkpointed)):
        torch.manual_seed(seed)
        call(network, x).square().sum().backward()
        network.next = torch.rand(1)
    assert_equal(block, other)
    assert torch.equal(block.next, other.next)


def test_frozen_statistics_stay():
    """Those of a batch norm in evaluation mode are used, not changed."""
    plain, ours = pair(0)
    for network in (plain, ours):
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
                module.running_mean.fill_(0.1)
    step(plain, 0)
    step(ours, 0)
    assert_equal(plain, ours)
    assert (ours.backbone.layer1[0].bn1.running_mean == 0.1).all()


def test_fails_in_the_backward_pass_and_goes_on():
    """An error there leaves batch norm as it was."""
    ours = pair(0)[1]
    norm = ours.backbone.layer1[0].bn1
    before = dict(norm.named_buffers())
    handle = norm.register_forward_hook(fail_the_second_time())
    with pytest.raises(RuntimeError, match="the second time"):
        step(ours, 0)
    handle.remove()
    assert all(buffer is before[name] for name, buffer in norm.named_buffers())
    assert norm.num_batches_tracked == 1


def fail_the_second_time():
    calls = []

    def hook(*_):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("the second time")

    return hook


def kept(network):
    """Bytes that the graph of a forward pass keeps, each piece of memory once."""
    pieces = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        pieces[storage.data_ptr()] = storage.nbytes()
        return tensor

    x = torch.randn(2, 3, 64, 64)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = network(x, auxiliary=True)
    weights = {p.untyped_storage().data_ptr() for p in network.parameters()}
    assert output[0].requires_grad
    return sum(size for place, size in pieces.items() if place not in weights)


def test_less_is_kept_and_more_is_computed():
    plain, ours = pair(0, backbone="r50", output_stride=8)
    assert kept(ours) < 0.5 * kept(plain)
    counts = []
    for network in (plain, ours):
        with FlopCounterMode(display=False) as counter:
            step(network, 0)
        counts.append(counter.get_total_flops())
    assert 1.1 * counts[0] < counts[1] < 1.5 * counts[0]


def test_evaluation_does_without():
    plain, ours = (network.eval() for network in pair(0))
    x = torch.randn(1, 3, 33, 40)
    with torch.inference_mode():
        assert torch.equal(plain(x), ours(x))


@pytest.mark.slow
def test_compiled():
    """Gradients of compiled code differ in the last bits; batch norm counts once all the same."""
    plain, ours = pair(0)
    ours.compile()
    step(plain, 0)
    step(ours, 0)
    for (name, first), (_, second) in zip(
        plain.named_parameters(), ours.named_parameters(), strict=True
    ):
        torch.testing.assert_close(second.grad, first.grad, rtol=1e-2, atol=1e-3, msg=name)
    for (name, first), (_, second) in zip(plain.named_buffers(), ours.named_buffers(), strict=True):
        torch.testing.assert_close(second, first, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.slow
def test_a_training_is_the_same_with_it(run, tmp_path):
    weights = []
    for root in ("plain", "ours"):
        outcome = run(
            *("train", *SMALL, *SCENES, "dataset.crop.height=32", "dataset.crop.width=32"),
            *("backbone.output_stride=32", "iters=2", f"run_root={root}", "head.dropout=0.5"),
            f"checkpoint_activations={str(root == 'ours').lower()}",
        )
        assert outcome.status == 0, outcome.err
        folder = only_run(tmp_path / root)
        saved = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
        weights.append((folder.name, saved["state_dict"]))
    (name, first), (same, second) = weights
    assert name == same
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_backbone_that_can_not(train):
    error = train("checkpoint_activations=true").error
    assert error.startswith("tests.tiny.backbone: got an unexpected keyword argument 'checkpoint_a")
