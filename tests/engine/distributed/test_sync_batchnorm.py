"""Batch norm over several processes is that of one process with all their images."""

import pytest
import torch
from torch import nn

from gcseg.engine.distributed.sync_batchnorm import CPUSyncBatchNorm, GPUSyncBatchNorm
from gcseg.models.timm_backbones import NormAct
from tests.processes import process_group, together


class Activated(NormAct):
    """As timm has them."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.drop, self.act = nn.Identity(), nn.SiLU()


def layers(dtype, momentum=0.1, affine=True, kind=nn.BatchNorm2d):
    torch.manual_seed(0)
    norm = kind(5, momentum=momentum, affine=affine)
    norm.__class__ = NormAct if kind is Activated else kind
    model = nn.Sequential(nn.Conv2d(3, 5, 3), norm, nn.ReLU(), nn.Conv2d(5, 2, 1))
    if affine:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    return model.to(dtype)


def images(dtype):
    generator = torch.Generator().manual_seed(1)
    # Far from 0, where sums of squares lose their digits, and unlike from image to image.
    scale = torch.tensor([1.0, 5.0, 0.1, 2.0, 3.0, 0.5]).view(6, 1, 1, 1)
    return (torch.randn(6, 3, 9, 7, generator=generator) * scale + 30 * scale).to(dtype)


def passes(model, batches):
    """Two steps' worth of outputs and gradients, and the state after them."""
    found = []
    for batch in batches:
        batch = batch.clone().requires_grad_()
        output = model(batch)
        (output.square() * torch.arange(1.0, 6.0, dtype=batch.dtype)).sum().backward()
        found += [output.detach(), batch.grad]
    return found, [p.grad for p in model.parameters()], model.state_dict()


def share(dtype, momentum, affine, kind, sizes):
    """One process's part."""
    with process_group():
        rank = torch.distributed.get_rank()
        model = layers(dtype, momentum, affine, kind)
        assert CPUSyncBatchNorm().apply(model) is model
        parts = [batch.split(sizes)[rank] for batch in (images(dtype), images(dtype).flip(3))]
        return passes(model, parts)


@pytest.mark.parametrize("sizes", [(3, 3), (1, 5), pytest.param((2, 2, 2), marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("dtype", "momentum", "affine", "kind"),
    [
        (torch.float64, 0.1, True, nn.BatchNorm2d),
        (torch.float32, 0.1, True, nn.BatchNorm2d),
        (torch.float64, 0.1, True, Activated),
        pytest.param(torch.float64, None, True, nn.BatchNorm2d, marks=pytest.mark.slow),
        pytest.param(torch.float64, 0.1, False, nn.BatchNorm2d, marks=pytest.mark.slow),
    ],
)
def test_several_processes_normalise_as_one(sizes, dtype, momentum, affine, kind):
    whole, gradients, state = passes(
        layers(dtype, momentum, affine, kind), (images(dtype), images(dtype).flip(3))
    )
    # Sums of 378 numbers each in another order: some dozens of roundings.
    near = {"rtol": 1e-11, "atol": 1e-10} if dtype is torch.float64 else {"rtol": 1e-3, "atol": 0.1}
    answers = together(len(sizes), share, dtype, momentum, affine, kind, sizes)
    for number, wanted in enumerate(whole):
        found = torch.cat([parts[number] for parts, _, _ in answers])
        torch.testing.assert_close(found, wanted, **near)
    for number, wanted in enumerate(gradients):
        found = sum(of_one[number] for _, of_one, _ in answers)
        torch.testing.assert_close(found, wanted, **near)
    for _, _, own in answers:
        assert list(own) == list(state)
        assert own["1.num_batches_tracked"] == 2
        for key in state:
            torch.testing.assert_close(own[key], state[key], rtol=1e-5, atol=1e-9)
            assert torch.equal(own[key], answers[0][2][key]), "all processes keep the same"


def test_back_to_what_it_was():
    model = layers(torch.float32)
    norm, before = model[1], model.state_dict()
    plugin = CPUSyncBatchNorm()
    plugin.apply(model)
    assert type(model[1]) is not nn.BatchNorm2d
    assert model.state_dict().keys() == before.keys()
    model.eval()
    expected = nn.functional.batch_norm(
        torch.ones(1, 5, 2, 2), norm.running_mean, norm.running_var, norm.weight, norm.bias
    )
    assert torch.equal(model[1](torch.ones(1, 5, 2, 2)), expected), "evaluation needs no others"
    plugin.revert(model)
    assert type(model[1]) is nn.BatchNorm2d and model[1] is norm


@pytest.mark.parametrize("plugin", [CPUSyncBatchNorm(), GPUSyncBatchNorm()])
def test_activations_stay(plugin):
    model = layers(torch.float32, kind=Activated).eval()
    x = torch.randn(2, 3, 9, 7)
    wanted = model(x)
    turned = plugin.apply(model)
    assert type(turned[1]) not in (NormAct, nn.BatchNorm2d)
    if isinstance(plugin, CPUSyncBatchNorm):  # PyTorch's own computes on GPUs only
        assert torch.equal(turned(x), wanted)
    turned = plugin.revert(turned)
    assert type(turned[1]) is NormAct and torch.equal(turned(x), wanted)


def test_on_a_gpu_plain_layers_are_lightnings():
    model = GPUSyncBatchNorm().apply(layers(torch.float32))
    assert type(model[1]) is nn.SyncBatchNorm
    assert isinstance(GPUSyncBatchNorm().revert(model)[1], nn.BatchNorm2d) is False


def half(_):
    with process_group(), torch.autocast("cpu", torch.bfloat16):
        model = CPUSyncBatchNorm().apply(layers(torch.float32))
        output = model(images(torch.float32)[:2])
        output.float().sum().backward()
        return output.dtype, [bool(p.grad.isfinite().all()) for p in model.parameters()]


def test_half_precision():
    for dtype, finite in together(2, half, None):
        assert dtype == torch.bfloat16 and all(finite)
