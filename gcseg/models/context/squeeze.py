"""The squeeze-and-excitation block (Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018)."""

from __future__ import annotations

from torch import Tensor, nn

from gcseg.models.context.pooling import hidden_width


class SqueezeExcitationBlock(nn.Module):
    """Multiply each channel by a factor from 0 to 1 that the means of all channels determine.

    Args:
        channels: Channels C of the input and the output.
        ratio: Width of the hidden layer as a fraction of `channels`, rounded down.

    Raises:
        ConfigError: If the hidden layer would be empty.
    """

    def __init__(self, channels: int, *, ratio: float = 0.0625) -> None:
        super().__init__()
        hidden = hidden_width(channels, ratio)
        self.conv1 = nn.Conv2d(channels, hidden, kernel_size=1)
        self.conv2 = nn.Conv2d(hidden, channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map `N x C x H x W` features to features of the same shape."""
        means = x.mean(dim=(2, 3), keepdim=True)
        factors: Tensor = self.conv2(self.conv1(means).relu()).sigmoid()
        return x * factors
