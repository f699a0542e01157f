"""The global context block (Cao et al., "GCNet", ICCVW 2019, figure 4d)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gcseg.models.checks import check_choice
from gcseg.models.context.pooling import (
    hidden_width,
    position_weights,
    softmax_of_positions,
    weighted_sum,
)

POOLINGS = ("attention", "average")
FUSIONS = ("add", "multiply", "add+multiply")


class GlobalContextBlock(nn.Module):
    """Gather one context vector from the whole feature map and blend it into every position.

    Parameter names are mmsegmentation's. As in the paper's code and in mmsegmentation, the last
    convolution of each transform starts at zero: a block that adds starts as the identity, one
    that multiplies starts by halving its input, as sigmoid(0) = 1/2.

    Args:
        channels: Channels C of the input and the output.
        ratio: Width of the transform's hidden layer as a fraction of `channels`, rounded down.
        pooling: Weights of the positions: `"attention"` for a learnt softmax map, `"average"` for
            equal weights.
        fusion: Operation that applies the transformed context to the features: `"add"`,
            `"multiply"` (by its sigmoid), or `"add+multiply"`: multiply, then add.

    Raises:
        ConfigError: If `pooling` or `fusion` is unknown, or the hidden layer would be empty.
    """

    def __init__(
        self,
        channels: int,
        *,
        ratio: float = 0.25,
        pooling: str = "attention",
        fusion: str = "add",
        layer_norm: bool = True,
    ) -> None:
        super().__init__()
        check_choice("pooling", pooling, POOLINGS)
        check_choice("fusion", fusion, FUSIONS)
        hidden = hidden_width(channels, ratio)
        self.conv_mask = position_weights(channels) if pooling == "attention" else None
        self.channel_mul_conv = (
            _transform(channels, hidden, layer_norm) if "multiply" in fusion else None
        )
        self.channel_add_conv = (
            _transform(channels, hidden, layer_norm) if "add" in fusion else None
        )

    def attention(self, x: Tensor) -> Tensor:
        """Compute how much each position contributes to the context.

        Args:
            x: `N x C x H x W` features.

        Returns:
            `N x 1 x H x W` weights that sum to 1 over each map; all equal for average pooling.
        """
        logits = torch.zeros_like(x[:, :1]) if self.conv_mask is None else self.conv_mask(x)
        return softmax_of_positions(logits)

    def forward(self, x: Tensor) -> Tensor:
        """Map `N x C x H x W` features to features of the same shape."""
        context = weighted_sum(x, self.attention(x))
        if self.channel_mul_conv is not None:
            x = x * self.channel_mul_conv(context).sigmoid()
        if self.channel_add_conv is not None:
            x = x + self.channel_add_conv(context)
        return x


def _transform(channels: int, hidden_channels: int, layer_norm: bool) -> nn.Sequential:
    """Build the bottleneck that transforms an `N x C x 1 x 1` context, keeping its shape."""
    last = nn.Conv2d(hidden_channels, channels, kernel_size=1)
    for parameter in last.parameters():
        nn.init.zeros_(parameter)
    return nn.Sequential(
        nn.Conv2d(channels, hidden_channels, kernel_size=1),
        nn.LayerNorm([hidden_channels, 1, 1]) if layer_norm else nn.Identity(),
        nn.ReLU(inplace=True),
        last,
    )
