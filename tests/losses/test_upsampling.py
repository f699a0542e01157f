"""Losses of coarse logits are those of upsampled ones, and hold no map of them."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from gcseg.data.label_spaces import IGNORE_INDEX
from gcseg.losses import CrossEntropy, Dice, Focal, Lovasz, Ohem, WeightedSum, loss_of, upsampling
from gcseg.losses.upsampling import pixel_losses

WEIGHTS = (0.0, 1.0, 2.5, 0.7, 1.2, 0.1, 3.0)
LOSSES = {
    "cross entropy": CrossEntropy(),
    "class weights": CrossEntropy(class_weights=WEIGHTS),
    "ignored pixels counted": CrossEntropy(class_weights=WEIGHTS, count_ignored=True),
    "focal": Focal(class_weights=WEIGHTS),
    "hard pixels": Ohem(min_kept=500),
    "hard pixels, weighted": Ohem(threshold=0.2, min_kept=50, class_weights=WEIGHTS),
    "a sum": WeightedSum([(CrossEntropy(), 0.7), (Focal(), 0.3)]),
    "dice": Dice(),
    "a sum with dice": WeightedSum([(CrossEntropy(), 0.7), (Dice(), 1.0)]),
    "a sum of others": WeightedSum([(Lovasz(), 0.7), (Dice(), 1.0)]),
}
SIZES = {
    "a multiple": ((8, 12), (64, 96)),
    "not a multiple": ((9, 13), (65, 97)),
    "no rows between": ((5, 3), (11, 50)),
    "one row": ((1, 4), (30, 31)),
    "one pixel": ((1, 1), (8, 8)),
    "finer than the labels": ((20, 30), (13, 17)),
    "the same size": ((20, 30), (20, 30)),
}


@pytest.fixture(params=[1, 200, 3000])
def few_rows(request, monkeypatch):
    """Strips of a row or of a few, as large pictures have them."""
    monkeypatch.setattr(upsampling, "_ELEMENTS", {"cpu": request.param})


def drawn(
    size: tuple[int, int], fine: tuple[int, int], seed: int, dtype=torch.float64
) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(3, 7, *size, generator=generator, dtype=dtype)
    labels = torch.randint(0, 7, (3, *fine), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < 0.2] = IGNORE_INDEX
    labels[2] = IGNORE_INDEX
    return logits.requires_grad_(), labels


def plain(loss, logits: Tensor, labels: Tensor, align_corners: bool) -> Tensor:
    size = labels.shape[-2:]
    return loss(
        F.interpolate(logits, size=size, mode="bilinear", align_corners=align_corners), labels
    )


def value_and_gradient(loss, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    value = loss(logits, labels)
    (gradient,) = torch.autograd.grad(value, logits)
    return value.detach(), gradient


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_each_pixels_loss_and_gradient(sizes, align_corners, few_rows):
    def weighted(compute, logits, labels):
        weights = torch.rand(labels.shape, generator=torch.Generator().manual_seed(9))
        return (compute(logits, labels) * weights).sum()

    cross_entropy = partial(F.cross_entropy, ignore_index=IGNORE_INDEX, reduction="none")
    for seed in range(2):
        logits, labels = drawn(*sizes, seed)
        ours = partial(pixel_losses, align_corners=align_corners)
        theirs = partial(plain, cross_entropy, align_corners=align_corners)
        torch.testing.assert_close(ours(logits, labels), theirs(logits, labels), rtol=0, atol=1e-12)
        found = value_and_gradient(partial(weighted, ours), logits, labels)
        wanted = value_and_gradient(partial(weighted, theirs), logits, labels)
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("name", LOSSES)
def test_losses(name, align_corners, few_rows):
    loss = LOSSES[name]
    for seed in range(3):
        logits, labels = drawn((9, 13), (65, 97), seed, torch.float32)
        found = value_and_gradient(
            partial(loss_of, loss, align_corners=align_corners), logits, labels
        )
        wanted = value_and_gradient(
            partial(plain, loss, align_corners=align_corners), logits, labels
        )
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


def test_losses_of_ones_own_get_upsampled_logits():
    logits, labels = drawn((9, 13), (65, 97), 0)

    def own(logits: Tensor, labels: Tensor) -> Tensor:
        assert logits.shape[-2:] == labels.shape[-2:]
        return logits.mean()

    assert loss_of(own, logits, labels) == plain(own, logits, labels, False)


@pytest.mark.parametrize("name", ["cross entropy", "hard pixels"])
def test_twice_is_the_same_to_the_bit(name):
    logits, labels = drawn((9, 13), (65, 97), 1, torch.float32)
    loss = partial(loss_of, LOSSES[name])
    first, second = (value_and_gradient(loss, logits, labels) for _ in range(2))
    assert all(map(torch.equal, first, second))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    logits, labels = drawn((9, 13), (65, 97), 2, torch.float32)
    half = logits.detach().to(dtype).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        value, gradient = value_and_gradient(partial(loss_of, CrossEntropy()), half, labels)
    wanted, wanted_gradient = value_and_gradient(
        partial(loss_of, CrossEntropy()), half.detach().float().requires_grad_(), labels
    )
    assert value.dtype == torch.float32 and gradient.dtype == dtype
    torch.testing.assert_close(value, wanted)
    torch.testing.assert_close(gradient, wanted_gradient.to(dtype))


def test_channels_last_and_nothing_labelled():
    logits, labels = drawn((9, 13), (65, 97), 3, torch.float32)
    loss = partial(loss_of, CrossEntropy())
    wanted = value_and_gradient(loss, logits, labels)
    other = logits.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    assert all(map(torch.equal, value_and_gradient(loss, other, labels), wanted))
    value, gradient = value_and_gradient(loss, logits, torch.full_like(labels, IGNORE_INDEX))
    assert value == 0 and not gradient.any()


class _Largest(TorchDispatchMode):
    """Remembers the most numbers that a tensor of an operation has."""

    numbers = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        found = function(*arguments, **(options or {}))
        if isinstance(found, Tensor) and found.is_floating_point():
            self.numbers = max(self.numbers, found.numel())
        return found


@pytest.mark.parametrize("name", ["class weights", "focal", "hard pixels"])
def test_no_tensor_has_all_pixels_of_all_classes(name):
    logits, labels = (
        torch.randn(2, 7, 64, 64, requires_grad=True),
        torch.randint(0, 7, (2, 512, 512)),
    )
    with _Largest() as largest:
        loss_of(LOSSES[name], logits, labels).backward()
    assert largest.numbers <= labels.numel() < 7 * labels.numel() / 2
    with _Largest() as largest:
        plain(LOSSES[name], logits, labels, False).backward()
    assert largest.numbers == 7 * labels.numel(), "which the dispatch mode sees"
