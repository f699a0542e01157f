"""What context blocks share: hidden widths, and weights of positions and sums by them."""

from __future__ import annotations

from torch import Tensor, nn

from gcseg.errors import ConfigError
from gcseg.models.checks import check_above_zero, check_positive


def hidden_width(channels: int, ratio: float) -> int:
    """Return the width of a hidden layer, `channels` times `ratio`, rounded down.

    Raises:
        ConfigError: If there are no channels, none is left, or the ratio is no number above 0.
    """
    check_positive("channels", channels)
    check_above_zero("ratio", ratio)
    hidden_channels = int(channels * ratio)
    if hidden_channels < 1:
        raise ConfigError(
            f"ratio {ratio!r} of {channels} channels leaves no hidden channel",
            f"give a ratio of at least 1/{channels}",
        )
    return hidden_channels


def position_weights(channels: int) -> nn.Conv2d:
    """Build the convolution that gives each position its logit, `N x 1 x H x W`."""
    conv = nn.Conv2d(channels, 1, kernel_size=1)
    nn.init.kaiming_normal_(conv.weight, mode="fan_in", nonlinearity="relu")
    return conv


def softmax_of_positions(logits: Tensor) -> Tensor:
    """Map `N x 1 x H x W` logits to weights that sum to 1 over each map."""
    return logits.flatten(2).softmax(dim=-1).view_as(logits)


def weighted_sum(x: Tensor, weights: Tensor) -> Tensor:
    """Sum features over their positions.

    Args:
        x: `N x C x H x W` features.
        weights: `N x 1 x H x W` weights of the positions.

    Returns:
        `N x C x 1 x 1`.
    """
    return (x.flatten(2) @ weights.flatten(2).transpose(1, 2)).unsqueeze(-1)
