"""Optimizers with their learning-rate schedule."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from gcseg.errors import ConfigError


def sgd(
    parameters: Iterable[nn.Parameter],
    *,
    iters: int,
    lr: float = 0.01,
    momentum: float = 0.9,
    weight_decay: float = 4e-5,
    power: float = 0.9,
    end_lr: float = 1e-5,
    warmup_iters: int = 0,
) -> tuple[torch.optim.Optimizer, LRScheduler]:
    """Build SGD with polynomial decay, as in PaddleSeg's training of GCNet.

    Args:
        parameters: Parameters to train; weight decay applies to all of them.
        iters: Length of the schedule in optimizer steps.
        lr: Learning rate at the start of the decay.
        momentum: Momentum of the gradient.
        weight_decay: L2 penalty, added to the gradient.
        power: Exponent of the decay.
        end_lr: Learning rate at the end.
        warmup_iters: Optimizer steps of the linear warm-up at the start.

    Returns:
        The optimizer and the scheduler, to be stepped once per optimizer step.

    Raises:
        ConfigError: If a setting is out of range.
    """
    _check(lr=lr, power=power)
    optimizer = torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay)
    return optimizer, polynomial_decay(optimizer, iters, lr, end_lr, power, warmup_iters)


def adamw(
    parameters: Iterable[nn.Parameter],
    *,
    iters: int,
    lr: float = 6e-5,
    weight_decay: float = 0.01,
    betas: tuple[float, float] = (0.9, 0.999),
    power: float = 1.0,
    end_lr: float = 0.0,
    warmup_iters: int = 0,
) -> tuple[torch.optim.Optimizer, LRScheduler]:
    """Build AdamW with polynomial decay.

    Args:
        parameters: Parameters to train.
        iters: Length of the schedule in optimizer steps.
        lr: Learning rate at the start of the decay.
        weight_decay: Decoupled weight decay, a fraction of the weight per unit of learning rate.
        betas: Decay rates of the running averages of the gradient and of its square.
        power: Exponent of the decay.
        end_lr: Learning rate at the end.
        warmup_iters: Optimizer steps of the linear warm-up at the start.

    Returns:
        The optimizer and the scheduler, to be stepped once per optimizer step.

    Raises:
        ConfigError: If a setting is out of range.
    """
    _check(lr=lr, power=power)
    optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay, betas=betas)
    return optimizer, polynomial_decay(optimizer, iters, lr, end_lr, power, warmup_iters)


def _check(**settings: float) -> None:
    for name, value in settings.items():
        if value <= 0:
            raise ConfigError(f"optim.{name}={value}", "give a number above 0")


def polynomial_decay(
    optimizer: torch.optim.Optimizer,
    iters: int,
    lr: float,
    end_lr: float,
    power: float,
    warmup_iters: int,
) -> LRScheduler:
    """Schedule a rate of `(lr - end_lr) * (1 - step / iters) ** power + end_lr` after the warm-up.

    Source: PaddleSeg's PolynomialDecay; the warm-up is part of the `iters` steps.
    """

    def share(step: int) -> float:
        if step < warmup_iters:
            return (step + 1) / (warmup_iters + 1)
        left = 1 - min(step, iters) / iters
        factor: float = ((lr - end_lr) * left**power + end_lr) / lr
        return factor

    return LambdaLR(optimizer, share)
