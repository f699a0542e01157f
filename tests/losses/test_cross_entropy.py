"""The loss is PyTorch's own, except where every pixel is ignored."""

import pytest
import torch
import torch.nn.functional as F

from gcseg.losses import cross_entropy, summed_weight


def inputs(seed, shape=(2, 5, 7, 9), ignored=0.2):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(shape, generator=generator)
    labels = torch.randint(shape[1], (shape[0], *shape[2:]), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < ignored] = 255
    return logits.requires_grad_(), labels


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("ignored", [0.0, 0.2, 0.9])
def test_mean_over_the_pixels_that_count(seed, ignored):
    logits, labels = inputs(seed, ignored=ignored)
    loss = cross_entropy(logits, labels)
    wanted = F.cross_entropy(logits, labels, ignore_index=255)
    assert loss.shape == ()
    torch.testing.assert_close(loss, wanted)
    (ours,) = torch.autograd.grad(loss, logits)
    (theirs,) = torch.autograd.grad(wanted, logits)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("seed", range(3))
def test_ignored_pixels_may_count_in_the_mean(seed):
    logits, labels = inputs(seed, ignored=0.5)
    each = F.cross_entropy(logits, labels, ignore_index=255, reduction="none")
    torch.testing.assert_close(cross_entropy(logits, labels, count_ignored=True), each.mean())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("ignored", [0.0, 0.2, 0.9])
def test_class_weights_make_the_mean_a_weighted_one(seed, ignored):
    logits, labels = inputs(seed, ignored=ignored)
    weights = 0.01 + torch.rand(5, generator=torch.Generator().manual_seed(seed))
    loss = cross_entropy(logits, labels, class_weights=weights)
    probabilities = logits.softmax(1)
    above = below = torch.zeros(())
    for image, row, column in (labels != 255).nonzero().tolist():
        truth = labels[image, row, column]
        above = above - weights[truth] * probabilities[image, truth, row, column].log()
        below = below + weights[truth]
    torch.testing.assert_close(loss, above / below)
    torch.testing.assert_close(
        loss, F.cross_entropy(logits, labels, weight=weights, ignore_index=255)
    )
    (ours,) = torch.autograd.grad(loss, logits)
    (theirs,) = torch.autograd.grad(above / below, logits)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("seed", range(3))
def test_with_ignored_pixels_counted_the_weights_are_not_divided_by(seed):
    logits, labels = inputs(seed, ignored=0.5)
    weights = torch.tensor([0.1, 2.0, 0.0, 30.0, 1.0])
    counted = labels != 255
    each = F.cross_entropy(logits, labels, ignore_index=255, reduction="none")
    wanted = (each * weights[labels.where(counted, 0)] * counted).sum() / (2 * 7 * 9)
    loss = cross_entropy(logits, labels, count_ignored=True, class_weights=weights)
    torch.testing.assert_close(loss, wanted)
    doubled = cross_entropy(logits, labels, count_ignored=True, class_weights=2 * weights)
    torch.testing.assert_close(doubled, 2 * wanted)


@pytest.mark.parametrize("count_ignored", [False, True])
def test_equal_class_weights(count_ignored):
    logits, labels = inputs(3)
    plain = cross_entropy(logits, labels, count_ignored=count_ignored)
    weighted = cross_entropy(
        logits, labels, count_ignored=count_ignored, class_weights=torch.full((5,), 0.25)
    )
    torch.testing.assert_close(weighted, plain / 4 if count_ignored else plain)


@pytest.mark.parametrize("labelled", [255, 2])
@pytest.mark.parametrize("count_ignored", [False, True])
def test_without_any_weight_the_loss_is_zero_with_no_gradient(labelled, count_ignored):
    logits, labels = inputs(0)
    weights = torch.tensor([1.0, 1.0, 0.0, 1.0, 1.0])
    labels = torch.full_like(labels, labelled)
    loss = cross_entropy(logits, labels, count_ignored=count_ignored, class_weights=weights)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_a_class_of_weight_zero_is_as_if_ignored():
    logits, labels = inputs(4)
    weights = torch.tensor([1.0, 1.0, 1.0, 0.0, 1.0])
    torch.testing.assert_close(
        cross_entropy(logits, labels, class_weights=weights),
        cross_entropy(logits, labels.where(labels != 3, 255)),
    )


def test_by_hand():
    logits = torch.tensor([[0.0, 1.0, 5.0], [0.0, 3.0, 0.0]]).reshape(1, 2, 1, 3)
    labels = torch.tensor([[[0, 1, 255]]])
    wanted = (torch.tensor(2.0).log() + (1 + torch.tensor(-2.0).exp()).log()) / 2
    torch.testing.assert_close(cross_entropy(logits, labels), wanted)


def test_all_ignored_is_zero_with_no_gradient():
    logits, labels = inputs(0)
    loss = cross_entropy(logits, torch.full_like(labels, 255))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_ignored_pixels_have_no_gradient():
    logits, labels = inputs(1)
    cross_entropy(logits, labels).backward()
    moved = logits.grad.abs().sum(1) > 0
    assert torch.equal(moved, labels != 255)


def test_another_ignore_index():
    logits, labels = inputs(2, ignored=0)
    torch.testing.assert_close(
        cross_entropy(logits, labels, ignore_index=3),
        F.cross_entropy(logits, labels, ignore_index=3),
    )
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
    torch.testing.assert_close(
        cross_entropy(logits, labels, ignore_index=3, class_weights=weights),
        F.cross_entropy(logits, labels, weight=weights, ignore_index=3),
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_are_summed_in_float32(dtype):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 19, 64, 96, generator=generator).to(dtype).requires_grad_()
    labels = torch.randint(19, (2, 64, 96), generator=generator)
    loss = cross_entropy(logits, labels)
    assert loss.dtype == torch.float32
    wanted = F.cross_entropy(logits.detach().double(), labels)
    assert abs(loss.item() - wanted.item()) < 1e-5
    loss.backward()
    assert logits.grad.dtype == dtype
    weights = (1 + torch.arange(19.0) / 4).to(dtype)  # exact in both types
    weighted = cross_entropy(logits, labels, class_weights=weights)
    wanted = F.cross_entropy(logits.detach().double(), labels, weight=weights.double())
    assert weighted.dtype == torch.float32
    assert abs(weighted.item() - wanted.item()) < 1e-5


def test_large_logits_do_not_overflow():
    logits = torch.tensor([30000.0, -30000.0]).reshape(1, 2, 1, 1)
    assert cross_entropy(logits, torch.zeros(1, 1, 1, dtype=torch.long)).item() == 0
    assert cross_entropy(logits, torch.ones(1, 1, 1, dtype=torch.long)).item() == 60000


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("count_ignored", [False, True])
def test_parts_of_a_batch_have_its_loss_as_their_mean(weighted, count_ignored):
    """However unevenly ignored pixels are spread over them."""
    logits, labels = inputs(5, shape=(3, 5, 7, 9))
    labels[1, :6] = 255
    labels[2] = 255
    weights = torch.tensor([1.0, 2.0, 0.5, 4.0, 1.0]) if weighted else None
    settings = {"count_ignored": count_ignored, "class_weights": weights}
    whole = cross_entropy(logits, labels, **settings)
    mean = sum(summed_weight(labels[[n]], **settings) for n in range(3)) / 3
    parts = [
        cross_entropy(logits[[n]], labels[[n]], total_weight=mean, **settings) for n in range(3)
    ]
    torch.testing.assert_close(sum(parts) / 3, whole)
    (ours,) = torch.autograd.grad(sum(parts) / 3, logits)
    (theirs,) = torch.autograd.grad(whole, logits)
    torch.testing.assert_close(ours, theirs)


def test_parts_that_are_all_ignored():
    logits, labels = inputs(6)
    nothing = torch.zeros(())
    assert cross_entropy(logits, torch.full_like(labels, 255), total_weight=nothing).item() == 0
