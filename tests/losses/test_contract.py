"""What holds for every loss of conf/loss, under the settings that it takes."""

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from gcseg.builders.loss import loss as build
from gcseg.config.checks import check
from gcseg.config.compose import source_folder
from gcseg.losses import Dice, Focal, Lovasz, Ohem, Tversky, WeightedSum
from tests.processes import process_group, together
from tests.running import compose

FOLDER = source_folder("conf") / "loss"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
CLASSES = [f"class {index}" for index in range(5)]
WEIGHTS = "class_weights=[1,0.5,4,2,0.25]"
SETTINGS = [(f"loss={name}",) for name in NAMES]
SETTINGS += [(*one, WEIGHTS) for one in SETTINGS]
SETTINGS += [
    ("loss=focal", "count_ignored=true", WEIGHTS),
    ("loss=ohem", "loss.min_kept=30", "loss.threshold=0.05", WEIGHTS),
    ("loss=ohem", "loss.min_kept=0"),
    ("loss=dice", "loss.per_image=true", "loss.classes=all", "loss.smooth=1"),
    ("loss=tversky", "loss.per_image=true"),
    ("loss=lovasz", "loss.per_image=true"),
]
every_loss = pytest.mark.parametrize("settings", SETTINGS, ids=" ".join)


def loss_of(settings, classes=CLASSES):
    """A loss as the settings alone give it: composing a whole training would take longer."""
    (name, *others) = settings
    usual = {"loss": OmegaConf.load(FOLDER / f"{name.removeprefix('loss=')}.yaml"),
             "class_weights": None, "count_ignored": False}  # fmt: skip
    return build(OmegaConf.merge(usual, OmegaConf.from_dotlist(others)), classes)


def inputs(seed=0, images=4, classes=5, height=9, width=7):
    """Images unlike each other: one without a class, one hardly labelled, one not at all."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(images, classes, height, width, generator=generator)
    labels = torch.randint(classes, (images, height, width), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < 0.2] = 255
    labels[0][labels[0] == 1] = 0
    if images > 2:
        labels[1, 2:] = 255
        labels[2] = 255
    return logits.requires_grad_(), labels


def both(loss, logits, labels):
    """Value and gradient."""
    value = loss(logits, labels)
    return value.detach(), torch.autograd.grad(value, logits)[0]


@every_loss
def test_finite_and_nothing_of_ignored_pixels(settings):
    logits, labels = inputs()
    value, gradient = both(loss_of(settings), logits, labels)
    assert value.shape == () and value.dtype == torch.float32 and value > 0
    assert gradient.isfinite().all() and gradient.abs().max() > 0
    assert not gradient.movedim(1, -1)[labels == 255].any()
    other = logits.detach().clone()
    other.movedim(1, -1)[labels == 255] = 50.0
    assert torch.equal(both(loss_of(settings), other.requires_grad_(), labels)[0], value)


@every_loss
def test_nothing_labelled_is_zero(settings):
    logits, labels = inputs()
    value, gradient = both(loss_of(settings), logits, torch.full_like(labels, 255))
    assert value == 0 and not gradient.any()


@every_loss
def test_the_order_of_images_and_pixels_does_not_matter(settings):
    logits, labels = inputs()
    value, gradient = both(loss_of(settings), logits, labels)
    order = torch.tensor([2, 0, 3, 1])
    turned = logits.detach()[order].flip(3).requires_grad_()
    other, moved = both(loss_of(settings), turned, labels[order].flip(2))
    torch.testing.assert_close(other, value)
    torch.testing.assert_close(moved, gradient[order].flip(3))


@every_loss
def test_twice_is_the_same_to_the_bit(settings):
    logits, labels = inputs(1)
    once, again = (both(loss_of(settings), logits, labels) for _ in range(2))
    assert torch.equal(once[0], again[0]) and torch.equal(once[1], again[1])


@every_loss
def test_it_goes_down_and_leads_to_the_labels(settings):
    """From the first step on; in the end labelled pixels are predicted right."""
    _, labels = inputs(2)
    logits = nn.Parameter(torch.zeros(4, 5, 9, 7))
    loss = loss_of(settings)
    optimizer = torch.optim.SGD([logits], lr=20.0)
    values = []
    for _ in range(60):
        optimizer.zero_grad()
        value = loss(logits, labels)
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[0] > values[1] > values[5] > values[-1]
    counted = labels != 255
    right = (logits.argmax(1) == labels)[counted].float().mean()
    assert right > (0.5 if "loss.threshold=0.05" in settings else 0.9)


@every_loss
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(settings, dtype):
    """Under autocast as in training, and with logits beyond what float16 can exponentiate."""
    logits, labels = inputs(3)
    rounded = (10 * logits.detach()).to(dtype)
    wanted, wanted_gradient = both(loss_of(settings), rounded.float().requires_grad_(), labels)
    with torch.autocast("cpu", torch.bfloat16):
        value, gradient = both(loss_of(settings), rounded.clone().requires_grad_(), labels)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, wanted)
    torch.testing.assert_close(gradient, wanted_gradient.to(dtype), rtol=0.02, atol=1e-4)


@every_loss
@pytest.mark.parametrize("extreme", [1e4, -1e4])
def test_sure_predictions(settings, extreme):
    """Right and wrong ones: no infinite slope, no 0 / 0."""
    _, labels = inputs(4)
    logits = torch.zeros(4, 5, 9, 7)
    logits.scatter_(1, labels.where(labels != 255, 0).unsqueeze(1), extreme)
    value, gradient = both(loss_of(settings), logits.requires_grad_(), labels)
    assert value.isfinite() and gradient.isfinite().all()
    assert (value < 1e-3) == (extreme > 0)


@every_loss
def test_a_class_of_weight_zero_has_no_gradient_of_its_own(settings):
    present = [one for one in settings if one not in (WEIGHTS, "loss.classes=all")]
    loss = loss_of([*present, "class_weights=[0,0,0,0,1]"])
    logits, labels = inputs(5)
    value, gradient = both(loss, logits, labels.where(labels != 4, 0))
    assert value == 0 and not gradient.any()


@every_loss
@pytest.mark.parametrize("classes", [1, 2])
def test_one_class_and_two(settings, classes):
    settings = [one for one in settings if one != WEIGHTS]
    logits, labels = inputs(6, classes=classes)
    value, gradient = both(loss_of(settings, CLASSES[:classes]), logits, labels.clamp(max=255))
    assert value.isfinite() and gradient.isfinite().all()
    assert (value > 0) == (classes == 2)


OWN_MEANS = ("loss=lovasz", "loss=ce_lovasz")
"""Losses that are, in several processes, the mean of each one's own."""


def share(all_settings, sizes):
    """One process's values and gradients."""
    with process_group():
        rank = torch.distributed.get_rank()
        logits, labels = inputs(7, images=sum(sizes))
        part = logits.detach().split(sizes)[rank].requires_grad_()
        return [both(loss_of(one), part, labels.split(sizes)[rank]) for one in all_settings]


@pytest.mark.parametrize("sizes", [(2, 2), pytest.param((2, 2, 2), marks=pytest.mark.slow)])
def test_several_processes_have_the_loss_of_all_images(sizes):
    """The mean of the processes' losses, and of their gradients."""
    logits, labels = inputs(7, images=sum(sizes))
    parts = together(len(sizes), share, SETTINGS, sizes)
    for settings, *found in zip(SETTINGS, *parts, strict=True):
        mean = torch.stack([value for value, _ in found]).mean()
        gradient = torch.cat([own for _, own in found]) / len(sizes)
        if settings[0] in OWN_MEANS and "loss.per_image=true" not in settings:
            continue
        value, whole = both(loss_of(settings), logits, labels)
        torch.testing.assert_close(mean, value, msg=str(settings))
        torch.testing.assert_close(gradient, whole, msg=str(settings))


@pytest.mark.slow
def test_lovasz_of_several_processes_is_the_mean_of_those_with_labels():
    logits, labels = inputs(7, images=6)
    labels[4:] = 255
    values = [both(Lovasz(), logits[n : n + 2], labels[n : n + 2])[0] for n in (0, 2)]
    shares = together(3, share_of_lovasz)
    assert sum(shares) / 3 == pytest.approx(sum(values).item() / 2, rel=1e-5)


def share_of_lovasz():
    with process_group():
        logits, labels = inputs(7, images=6)
        labels[4:] = 255
        rank = torch.distributed.get_rank()
        return Lovasz()(logits.split(2)[rank], labels.split(2)[rank]).item()


def test_lovasz_of_sure_predictions_is_one_minus_iou():
    """It extends 1 - IoU, and so is that where every probability is 0 or 1."""
    _, labels = inputs(8)
    predicted = torch.randint(5, labels.shape, generator=torch.Generator().manual_seed(0))
    logits = 1e4 * nn.functional.one_hot(predicted, 5).movedim(-1, 1).float()
    counted = labels != 255
    ious = [
        ((predicted == one) & (labels == one)).sum()
        / (((predicted == one) | (labels == one)) & counted).sum()
        for one in range(5)
    ]
    torch.testing.assert_close(Lovasz()(logits, labels), 1 - torch.stack(ious).mean())
    f1 = [2 * iou / (1 + iou) for iou in ious]
    torch.testing.assert_close(Dice()(logits, labels), 1 - torch.stack(f1).mean())


def test_ohem_keeps_the_worst_pixels():
    logits, labels = inputs(9)
    each = nn.functional.cross_entropy(logits, labels, ignore_index=255, reduction="none")
    worst = each.flatten().sort(descending=True).values
    torch.testing.assert_close(Ohem(1e-9, 10)(logits, labels), worst[:10].mean())
    hard = each[each > -torch.tensor(0.7).log()]
    torch.testing.assert_close(Ohem(0.7, 1)(logits, labels), hard.mean())
    everything = (labels != 255).sum()
    torch.testing.assert_close(Ohem(1e-9, 10**6)(logits, labels), each.sum() / everything)


def test_focal_without_an_exponent_is_cross_entropy():
    logits, labels = inputs(10)
    value, gradient = both(Focal(0.0), logits, labels)
    wanted, theirs = both(loss_of(["loss=cross_entropy"]), logits, labels)
    torch.testing.assert_close(value, wanted)
    torch.testing.assert_close(gradient, theirs)


def test_dice_is_tversky_of_equal_weights():
    logits, labels = inputs(11)
    torch.testing.assert_close(Dice(2.0)(logits, labels), Tversky(0.5, 0.5, 1.0)(logits, labels))


def test_a_sum_is_the_sum_of_its_parts():
    logits, labels = inputs(12)
    loss = loss_of(["loss=ce_dice", "loss.parts.dice.weight=3", WEIGHTS])
    assert isinstance(loss, WeightedSum)
    one, other = (loss_of([f"loss={name}", WEIGHTS]) for name in ("cross_entropy", "dice"))
    torch.testing.assert_close(
        loss(logits, labels), one(logits, labels) + 3 * other(logits, labels)
    )


def test_a_sum_of_ones_own():
    cfg = compose(
        *("train", "loss=ce_dice", "loss.parts.dice=null", "loss.parts.cross_entropy.weight=0"),
        "+loss.parts.focal={_target_: gcseg.losses.Focal, weight: 0.5, gamma: 1}",
    )
    check(cfg)
    logits, labels = inputs(13)
    torch.testing.assert_close(build(cfg, CLASSES)(logits, labels), Focal(1.0)(logits, labels) / 2)
