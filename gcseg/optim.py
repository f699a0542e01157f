"""Optimizers with their learning-rate schedule."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from gcseg.errors import ConfigError
from gcseg.models import Segmentor
from gcseg.models.stages import NAMES, stages_of

Parameters = Iterable[nn.Parameter] | Iterable[dict[str, Any]]
"""Parameters, or groups of them with their learning rates, as PyTorch's optimizers take them."""


def sgd(
    parameters: Parameters,
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
        parameters: Parameters to train, see `parameter_groups`; weight decay applies to all.
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
    parameters: Parameters,
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
        parameters: Parameters to train, see `parameter_groups`.
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


def parameter_groups(
    network: Segmentor, *, lr: float, backbone_lr_factor: float = 1.0, layer_decay: float = 1.0
) -> Parameters:
    """Divide the parameters that are trained by their learning rates.

    The heads have the rate `lr`. The backbone has it times `backbone_lr_factor`; with a layer decay
    d, its stages 4, 3, 2 and 1 and its stem also times d, d^2, d^3, d^4 and d^5. Source:
    mmsegmentation's `paramwise_cfg` for the factor, and its stage-wise
    `LearningRateDecayOptimizerConstructor` for the decay, after Clark et al., ELECTRA (ICLR 2020).
    The factors hold for the whole schedule: warm-up, decay and the rate at the end.

    Args:
        network: The network; its frozen parameters are left out.
        lr: Learning rate at the start of the decay.
        backbone_lr_factor: Factor of the whole backbone's rate.
        layer_decay: Factor between a stage's rate and the next one's.

    Returns:
        The parameters if all have the same rate; otherwise a group for the heads, the first, and
        one for the backbone or for each part of it, without empty ones.

    Raises:
        ConfigError: If a decay is wanted and the backbone does not name its stages.
    """
    if backbone_lr_factor == layer_decay == 1:
        return [parameter for parameter in network.parameters() if parameter.requires_grad]
    backbone = {id(parameter) for parameter in network.backbone.parameters()}
    groups: list[tuple[str, float, Iterable[nn.Parameter]]] = [
        ("heads", 1.0, [one for one in network.parameters() if id(one) not in backbone])
    ]
    if layer_decay == 1:
        groups.append(("backbone", backbone_lr_factor, network.backbone.parameters()))
    else:
        for index, stage in enumerate(stages_of(network.backbone)):
            factor = backbone_lr_factor * layer_decay ** (len(NAMES) - index)
            inside = [parameter for module in stage for parameter in module.parameters()]
            groups.append((f"backbone.{NAMES[index]}", factor, inside))
    divided: list[dict[str, Any]] = []
    for name, factor, parameters in groups:
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        if trained:
            divided.append({"params": trained, "lr": lr * factor, "name": name})
    return divided
