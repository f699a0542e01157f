"""Layers that several heads have."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from gcseg.errors import ConfigError
from gcseg.models.checks import check_fraction, check_positive


def check_sizes(in_channels: int, num_classes: int, channels: int, dropout: float) -> None:
    """Check the arguments that all heads have.

    Raises:
        ConfigError: If a size is smaller than 1 or `dropout` is not in [0, 1).
    """
    check_positive("in_channels", in_channels)
    check_positive("num_classes", num_classes)
    check_positive("channels", channels)
    check_fraction("dropout", dropout)


def conv_bn_relu(
    in_channels: int,
    out_channels: int,
    *,
    bias: bool,
    kernel_size: int = 3,
    dilation: int = 1,
    groups: int = 1,
    relu: bool = True,
) -> nn.Sequential:
    """Build a convolution that keeps the size, its batch norm and a ReLU.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        bias: Whether the convolution has a bias in addition to batch norm.
        kernel_size: Height and width of the kernel, an odd number.
        dilation: Distance between the kernel's elements, in positions.
        groups: Groups of channels that the convolution keeps apart.
        relu: Whether the ReLU follows.
    """
    conv = nn.Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        padding=dilation * (kernel_size // 2),
        dilation=dilation,
        groups=groups,
        bias=bias,
    )
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    layers = [conv, nn.BatchNorm2d(out_channels)]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if relu else nn.Sequential(*layers)


def classifier(in_channels: int, num_classes: int) -> nn.Conv2d:
    """Build the 1x1 convolution that gives the logits."""
    conv = nn.Conv2d(in_channels, num_classes, kernel_size=1)
    nn.init.normal_(conv.weight, std=0.01)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


def resized(x: Tensor, like: Tensor, align_corners: bool) -> Tensor:
    """Resize `N x C x h x w` features bilinearly to the height and width of others."""
    size = like.shape[-2:]
    if x.shape[-2:] == size:
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=align_corners)


def eighth(channels: int) -> int:
    """Return an eighth of the channels, as many as queries and keys of an attention have.

    Raises:
        ConfigError: If nothing is left.
    """
    if channels < 8:
        raise ConfigError(f"channels is {channels!r}", "give an integer of at least 8")
    return channels // 8


def pooled_to_one(x: Tensor) -> Tensor:
    """Average `N x C x h x w` features over their positions, to `N x C x 1 x 1`."""
    return x.mean(dim=(2, 3), keepdim=True)


def check_norms(module: nn.Module, x: Tensor, what: str) -> None:
    """Check that batch norm in training mode has several numbers to normalise.

    Args:
        module: Layers with batch norm that keep the height and width.
        x: Their input, `N x C x h x w`.
        what: The single number that batch norm would have of each channel, in words.

    Raises:
        ConfigError: If N, h and w are 1, and the statistics are those of one process.
    """
    if x[:, 0].numel() > 1:
        return
    # Subclasses have statistics of several processes.
    norms = (part for part in module.modules() if type(part) is nn.BatchNorm2d)
    if any(norm.training for norm in norms):
        raise ConfigError(
            f"a pass of one picture, where {what} is one number for each channel, which batch norm "
            "can't normalise",
            "give two pictures in a pass: a larger batch_size, or a smaller accumulate",
        )
