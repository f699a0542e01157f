"""What a backbone and a head of the user's own have to give, seen in one small forward pass.

Those of `gcseg.models` are not looked at: their tests hold the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gcseg.errors import ConfigError, is_out_of_memory

STAGES = 4
HEIGHT, WIDTH = 64, 96
"""Pixels of the picture, of unlike sides so that exchanged ones show."""


def check_backbone(backbone: nn.Module) -> None:
    """Require four stages of features with the channels that the backbone names.

    Args:
        backbone: Maps `1 x 3 x H x W` to a list of four tensors `1 x channels[i] x h x w`.

    Raises:
        ConfigError: It does something else.
    """
    if _is_own(backbone):
        return
    name = f"the backbone {type(backbone).__name__}"
    channels = getattr(backbone, "channels", None)
    if (
        not isinstance(channels, Sequence)
        or len(channels) != STAGES
        or not all(isinstance(count, int) and count > 0 for count in channels)
    ):
        raise ConfigError(
            f"{name} has channels={channels}", f"give it the channels of its {STAGES} stages"
        )
    features = _forward(name, backbone, torch.zeros(1, 3, HEIGHT, WIDTH))
    if not isinstance(features, list | tuple) or len(features) != STAGES:
        kind = type(features).__name__
        count = f" of {len(features)}" if isinstance(features, list | tuple) else ""
        raise ConfigError(f"{name} gives a {kind}{count}", f"give a list of {STAGES} tensors")
    for stage, (found, count) in enumerate(zip(features, channels, strict=True), 1):
        _check(f"{name}, stage {stage},", found, count)


def check_head(key: str, head: nn.Module | None, in_channels: int, num_classes: int) -> None:
    """Require a head to give one map of logits for each class.

    Args:
        key: Its setting, for messages.
        head: Maps `1 x in_channels x h x w` to `1 x num_classes x h x w`; None for none.
        in_channels: Of the features.
        num_classes: Of the dataset.

    Raises:
        ConfigError: It does something else.
    """
    if head is None or _is_own(head):
        return
    name = f"{key} {type(head).__name__}"
    logits = _forward(name, head, torch.zeros(1, in_channels, HEIGHT // 8, WIDTH // 8))
    _check(name, logits, num_classes, " for so many classes")


def _is_own(module: nn.Module) -> bool:
    return f"{type(module).__module__}.".startswith("gcseg.models.")


def _forward(name: str, module: nn.Module, x: Tensor) -> object:
    """Its output, without a trace in it or in the random numbers."""
    parameter = next(module.parameters(), x)
    modes = {part: part.training for part in module.modules()}
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            return module.eval()(x.to(parameter.device))
    except Exception as error:  # whatever it may raise is its author's to see
        if is_out_of_memory(error):
            raise
        shape = " x ".join(map(str, x.shape))
        raise ConfigError(
            f"{name} fails on an input of {shape} ({type(error).__name__}: {error})",
            "try it in evaluation mode on such a tensor",
        ) from error
    finally:
        for part, training in modes.items():
            part.training = training


def _check(name: str, found: object, channels: int, what: str = "") -> None:
    if not isinstance(found, Tensor):
        raise ConfigError(f"{name} gives a {type(found).__name__}", "give a tensor")
    shape = " x ".join(map(str, found.shape))
    if found.dim() != 4 or found.shape[:2] != (1, channels) or 0 in found.shape:
        raise ConfigError(
            f"{name} gives {shape} where 1 x {channels} x height x width are wanted{what}",
            f"give {channels} channels",
        )
    if not found.is_floating_point():
        kind = str(found.dtype).removeprefix("torch.")
        raise ConfigError(f"{name} gives numbers of type {kind}", "give floating-point ones")
