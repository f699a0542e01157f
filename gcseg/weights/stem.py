"""Weights of a first convolution of RGB pictures for pictures with other channels."""

from __future__ import annotations

import torch
from torch import Size, Tensor

RGB = 3

ADAPTED = "adapted: "
"""Begin of the line on a first convolution, among lines on what was not loaded."""


def takes_other_channels(key: str, shape: Size, wanted: Size) -> bool:
    """Return whether a parameter is a backbone's first convolution and differs in channels alone.

    Args:
        key: gcseg's name of the parameter.
        shape: Shape in the file; of RGB pictures.
        wanted: Shape in the network.
    """
    return (
        key.startswith("backbone.")
        and len(shape) == len(wanted) == 4
        and shape[1] == RGB != wanted[1]
        and (shape[0], *shape[2:]) == (wanted[0], *wanted[2:])
    )


def adapted(weight: Tensor, channels: int) -> Tensor:
    """Make the weights of a first convolution for another number of channels.

    More channels keep the three and give every further one their mean. One gets their sum, so that
    a grey picture gives what it gave as three equal channels; two get the first two, times 3 / 2.
    Source for fewer: timm 1.0, `models/_manipulate.py`, `adapt_input_conv`.

    Args:
        weight: Weights for RGB, N x 3 x h x w.
        channels: Number of channels, C.

    Returns:
        N x C x h x w.
    """
    if channels == 1:
        return weight.sum(dim=1, keepdim=True)
    if channels < RGB:
        return weight[:, :channels] * (RGB / channels)
    further = weight.mean(dim=1, keepdim=True).expand(-1, channels - RGB, -1, -1)
    return torch.cat((weight, further), dim=1)


def described(key: str, channels: int) -> str:
    """Return a line on what became of a first convolution."""
    how = {1: "their sum for the only channel", 2: "the first two, times 3/2"}.get(
        channels, f"the three kept, their mean for {channels - RGB} more"
    )
    return f"{ADAPTED}{key} is of 3 channels, here of {channels}: {how}"
