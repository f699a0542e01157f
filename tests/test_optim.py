"""The learning-rate schedule is PaddleSeg's; what is stepped are PyTorch's optimizers."""

import copy
import itertools

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import PolynomialLR

from gcseg.errors import ConfigError
from gcseg.optim import adamw, sgd
from tests.golden import expected


def parameter():
    return torch.nn.Parameter(torch.tensor([1.0, -2.0]))


def rates(optimizer, scheduler, count):
    found = []
    for _ in range(count):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def paddle_polynomial_decay(step, learning_rate, decay_steps, end_lr, power):
    """paddle.optimizer.lr.PolynomialDecay with cycle=False, as its documentation has it."""
    step = min(step, decay_steps)
    return (learning_rate - end_lr) * (1 - step / decay_steps) ** power + end_lr


def test_rates_are_those_paddleseg_used():
    wanted = expected("paddleseg_train_r18")["lrs"]
    np.testing.assert_allclose(rates(*sgd([parameter()], iters=20), 10), wanted, rtol=1e-6)


@pytest.mark.parametrize("build", [sgd, adamw])
@pytest.mark.parametrize(
    ("iters", "lr", "end_lr", "power"),
    [(20, 0.01, 1e-5, 0.9), (7, 0.1, 0.0, 1.0), (50, 6e-5, 1e-6, 2.0), (1, 0.01, 1e-5, 0.9)],
)
def test_formula_up_to_the_end_and_beyond(build, iters, lr, end_lr, power):
    found = rates(*build([parameter()], iters=iters, lr=lr, end_lr=end_lr, power=power), iters + 5)
    wanted = [paddle_polynomial_decay(step, lr, iters, end_lr, power) for step in range(iters + 5)]
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    assert found[0] == lr
    np.testing.assert_allclose(found[iters:], end_lr, rtol=1e-12)
    assert all(before > after for before, after in itertools.pairwise(found[: iters + 1]))


def test_without_an_end_rate_it_is_pytorchs():
    found = rates(*sgd([parameter()], iters=30, lr=0.02, power=0.9, end_lr=0.0), 35)
    optimizer = torch.optim.SGD([parameter()], lr=0.02)
    theirs = rates(optimizer, PolynomialLR(optimizer, total_iters=30, power=0.9), 35)
    np.testing.assert_allclose(found, theirs, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("build", [sgd, adamw])
@pytest.mark.parametrize("warmup", [1, 5, 10])
def test_warm_up_rises_linearly_within_the_iterations(build, warmup):
    settings = {"iters": 40, "lr": 0.01, "end_lr": 1e-5, "power": 0.9}
    found = rates(*build([parameter()], **settings, warmup_iters=warmup), 45)
    plain = rates(*build([parameter()], **settings), 45)
    rise = found[:warmup]
    assert 0 < rise[0] <= max(rise) < 0.01
    np.testing.assert_allclose(np.diff([0, *rise]), rise[0], rtol=1e-9)
    assert found[warmup:] == plain[warmup:]


def step_once(optimizer, weights):
    (weights**2).sum().backward()
    optimizer.step()
    return weights.detach().numpy()


def test_sgd_decays_weights_and_has_momentum():
    weights = parameter()
    optimizer, _ = sgd([weights], iters=10)
    velocity, wanted = 0.0, np.array([1.0, -2.0])
    for _ in range(3):
        gradient = 2 * wanted + 4e-5 * wanted
        velocity = 0.9 * velocity + gradient
        wanted = wanted - 0.01 * velocity
        optimizer.zero_grad()
        np.testing.assert_allclose(step_once(optimizer, weights), wanted, rtol=1e-6)


def test_adamw_decouples_the_decay():
    weights = parameter()
    optimizer, _ = adamw([weights], iters=10, lr=0.1, weight_decay=0.5)
    start = np.array([1.0, -2.0])
    # The first step of Adam is the learning rate in the direction of the gradient.
    wanted = start * (1 - 0.1 * 0.5) - 0.1 * np.sign(start)
    np.testing.assert_allclose(step_once(optimizer, weights), wanted, rtol=1e-6)
    assert isinstance(optimizer, torch.optim.AdamW)
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.999)


@pytest.mark.parametrize("build", [sgd, adamw])
def test_the_schedule_goes_on_from_a_checkpoint(build):
    settings = {"iters": 20, "warmup_iters": 3}
    whole = rates(*build([parameter()], **settings), 20)
    optimizer, scheduler = build([parameter()], **settings)
    rates(optimizer, scheduler, 8)
    state = copy.deepcopy((optimizer.state_dict(), scheduler.state_dict()))
    optimizer, scheduler = build([parameter()], **settings)
    optimizer.load_state_dict(state[0])
    scheduler.load_state_dict(state[1])
    assert rates(optimizer, scheduler, 12) == whole[8:]


@pytest.mark.parametrize("build", [sgd, adamw])
def test_everything_is_trained(build):
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimizer, _ = build(model.parameters(), iters=10)
    trained = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(trained) == sorted(map(id, model.parameters()))


@pytest.mark.parametrize("build", [sgd, adamw])
@pytest.mark.parametrize(("name", "value"), [("lr", 0.0), ("lr", -0.1), ("power", 0.0)])
def test_settings_out_of_range(build, name, value):
    with pytest.raises(ConfigError, match=rf"^optim\.{name}={value}: give a number above 0$"):
        build([parameter()], iters=10, **{name: value})
