"""The simplified non-local block (Cao et al., "GCNet", ICCVW 2019, equation 4 and figure 3b)."""

from __future__ import annotations

from torch import Tensor, nn

from gcseg.models.checks import check_positive
from gcseg.models.context.pooling import position_weights, softmax_of_positions, weighted_sum


class SimplifiedNonLocalBlock(nn.Module):
    """Add one context vector, a weighted mean of the features after a convolution, everywhere.

    It is a non-local block whose weights do not depend on the position that looks. The convolution
    starts at zero, so that the block starts as the identity.

    Args:
        channels: Channels C of the input and the output.

    Raises:
        ConfigError: If there are no channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        check_positive("channels", channels)
        self.conv_mask = position_weights(channels)
        self.conv_value = nn.Conv2d(channels, channels, kernel_size=1, bias=False)
        nn.init.zeros_(self.conv_value.weight)

    def attention(self, x: Tensor) -> Tensor:
        """Compute how much each position contributes to the context.

        Args:
            x: `N x C x H x W` features.

        Returns:
            `N x 1 x H x W` weights that sum to 1 over each map.
        """
        return softmax_of_positions(self.conv_mask(x))

    def forward(self, x: Tensor) -> Tensor:
        """Map `N x C x H x W` features to features of the same shape."""
        context: Tensor = self.conv_value(weighted_sum(x, self.attention(x)))
        return x + context
