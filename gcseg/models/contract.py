"""Checks that a custom backbone and head give what is required, by two small forward passes.

One is in evaluation mode and one in training mode. The networks of `gcseg.models` are not
checked, as their tests cover the same, except those that timm makes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gcseg.errors import ConfigError, is_out_of_memory
from gcseg.models.segmentor import takes_regions
from gcseg.models.timm_backbones import TimmBackbone

STAGES = 4
BATCH = 2
"""Images in a batch: several, so that a network that returns one for all of them is found."""
HEIGHT, WIDTH = 64, 96
"""Size of the images in pixels: unequal sides, so that exchanged ones are found."""


def check_backbone(backbone: object, in_channels: int = 3) -> None:
    """Require four stages of features with the channels that the backbone names.

    Args:
        backbone: Network that maps `N x in_channels x H x W` to a list of four tensors
            `N x channels[i] x h x w`.
        in_channels: Channels of the pictures.

    Raises:
        ConfigError: If it does anything else.
    """
    if _is_own(backbone):
        return
    name = f"the backbone {getattr(backbone, 'model', type(backbone).__name__)}"
    network = _network(name, backbone)
    channels = getattr(network, "channels", None)
    if (
        not isinstance(channels, Sequence)
        or len(channels) != STAGES
        or not all(isinstance(count, int) and count > 0 for count in channels)
    ):
        raise ConfigError(
            f"{name} has channels={channels}", f"give it the channels of its {STAGES} stages"
        )
    for mode, features in _outputs(name, network, (in_channels, HEIGHT, WIDTH)):
        if not isinstance(features, list | tuple) or len(features) != STAGES:
            kind = type(features).__name__
            count = f" of {len(features)}" if isinstance(features, list | tuple) else ""
            raise ConfigError(
                f"{name} gives a {kind}{count}{mode}", f"give a list of {STAGES} tensors"
            )
        for stage, (found, count) in enumerate(zip(features, channels, strict=True), 1):
            _check(f"{name}, stage {stage},", found, count, mode)


def check_head(key: str, head: object, in_channels: int | Sequence[int], num_classes: int) -> None:
    """Require a head to give one map of logits for each class.

    Args:
        key: Name of the head's setting, for messages.
        head: Network that maps `N x in_channels x h x w` to `N x num_classes x h' x w'`, see
            `gcseg.models.heads`; None for none.
        in_channels: Channels of the features; of a head with `stages`, of each stage.
        num_classes: Number of classes of the dataset.

    Raises:
        ConfigError: If it does anything else.
    """
    if head is None or _is_own(head):
        return
    name = f"{key} {type(head).__name__}"
    network = _network(name, head)
    stages = getattr(head, "stages", None)
    if (stages is not None) == isinstance(in_channels, int):
        raise ConfigError(
            f"{name} has stages={stages}, and what its _target_ names has other ones",
            "give the attribute stages to the class itself",
        )
    shapes = [(channels, HEIGHT // 8, WIDTH // 8) for channels in _listed(in_channels)]
    if stages is not None:  # the first stage's features are the finest, of stride 4
        shapes = [
            (channels, HEIGHT // stride, WIDTH // stride)
            for (channels, *_), stride in zip(
                shapes, (4 if s == 1 else 8 for s in stages), strict=True
            )
        ]
    if takes_regions(head):
        shapes.append((num_classes, HEIGHT // 8, WIDTH // 8))
    for mode, logits in _outputs(name, network, *shapes, listed=stages is not None):
        _check(name, logits, num_classes, mode, " for so many classes")


def check_stages(name: str, target: object) -> None:
    """Require the attribute `stages` of a head, where there is one, to name stages in order.

    Args:
        name: Name of the class or function, for messages.
        target: Class or function that builds the head.

    Raises:
        ConfigError: If it names anything else.
    """
    stages = getattr(target, "stages", None)
    if stages is None:
        return
    numbers = list(stages) if isinstance(stages, tuple | list) else []
    known = all(type(stage) is int and 1 <= stage <= STAGES for stage in numbers)
    if not numbers or not known or numbers != sorted(set(numbers)):
        raise ConfigError(
            f"{name} has stages={stages}", f"give a tuple of numbers from 1 to {STAGES}, ascending"
        )


def _listed(value: int | Sequence[int]) -> list[int]:
    return [value] if isinstance(value, int) else list(value)


def _is_own(module: object) -> bool:
    """Whether the tests cover a network, or it has no values to compute with."""
    if isinstance(module, TimmBackbone):
        return any(parameter.is_meta for parameter in module.parameters())
    return f"{type(module).__module__}.".startswith("gcseg.models.")


def _network(name: str, found: object) -> nn.Module:
    if not isinstance(found, nn.Module):
        raise ConfigError(f"{name} is not a torch.nn.Module", "let its _target_ make one")
    return found


def _outputs(
    name: str, network: nn.Module, *shapes: tuple[int, int, int], listed: bool = False
) -> list[tuple[str, object]]:
    """Return, for evaluation and training mode, the mode in words and the network's output.

    The state of the network and of the random numbers is restored.

    Args:
        name: The network, for messages.
        network: The network.
        shapes: Channels, height and width of each input.
        listed: Whether the network takes a list of features; regions, of which there is one input
            more than stages, come after it.
    """
    parameter = next(network.parameters(), torch.empty(0))
    modes = {part: part.training for part in network.modules()}
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            generator = torch.Generator().manual_seed(0)
            drawn = [torch.randn(BATCH, *shape, generator=generator) for shape in shapes]
            inputs: list[Any] = [x.to(parameter.device) for x in drawn]
            if listed:
                count = len(inputs) - takes_regions(network)
                inputs = [inputs[:count], *inputs[count:]]
            return [
                ("", _forward(name, network.eval(), inputs)),
                (" in training mode", _forward(name, network.train(), inputs)),
            ]
    finally:
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        for part, training in modes.items():
            part.training = training


def _forward(name: str, network: nn.Module, inputs: list[Any]) -> object:
    try:
        return network(*inputs)
    except Exception as error:  # the author of the network has to see any error
        if is_out_of_memory(error):
            raise
        tensors = inputs[0] if isinstance(inputs[0], list) else inputs
        shape = ", ".join(" x ".join(map(str, x.shape)) for x in tensors)
        mode = "training" if network.training else "evaluation"
        if isinstance(network, TimmBackbone):
            remedy = "take a network of timm that takes pictures of any size"
        else:
            remedy = f"try it in {mode} mode on such a tensor"
        raise ConfigError(
            f"{name} fails on an input of {shape} ({type(error).__name__}: {error})", remedy
        ) from error


def _check(name: str, found: object, channels: int, mode: str, what: str = "") -> None:
    if not isinstance(found, Tensor):
        raise ConfigError(f"{name} gives a {type(found).__name__}{mode}", "give a tensor")
    shape = " x ".join(map(str, found.shape))
    if found.dim() != 4 or found.shape[:2] != (BATCH, channels) or 0 in found.shape:
        raise ConfigError(
            f"{name} gives {shape}{mode} where {BATCH} x {channels} x height x width are wanted"
            f"{what}",
            f"give {channels} channels for each image of the batch",
        )
    if not found.is_floating_point():
        kind = str(found.dtype).removeprefix("torch.")
        raise ConfigError(f"{name} gives numbers of type {kind}{mode}", "give floating-point ones")
