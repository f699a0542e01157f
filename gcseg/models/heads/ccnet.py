"""The head of CCNet.

Source: Huang et al., "CCNet: Criss-Cross Attention for Semantic Segmentation", ICCV 2019.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gcseg.errors import ConfigError
from gcseg.models.checks import check_positive
from gcseg.models.heads.fcn import FCNHead
from gcseg.models.heads.parts import eighth


class CrissCrossAttention(nn.Module):
    """Add to each position a mean of its row and column, some times one after another.

    Source: Huang et al., section 3.2; `recurrence` is their R. Two passes reach all positions. In
    each, a position has weights of its row and its column, which are a softmax of the products of
    its features with theirs, and takes part itself once. Rows and columns are products of matrices
    that gather nothing by index, so that gradients are the same each time on a GPU. The weights of
    a pass take memory in proportion to `N x h x w x (h + w)`. The factor of the mean starts at
    zero, and with it the block as the identity.

    Args:
        channels: Channels C of the input and the output; queries and keys have an eighth of them.
        recurrence: Number of passes, which share their weights.

    Raises:
        ConfigError: If there are fewer than eight channels, or no passes.
    """

    def __init__(self, channels: int, *, recurrence: int = 2) -> None:
        super().__init__()
        check_positive("recurrence", recurrence)
        hidden = eighth(channels)
        self.recurrence = recurrence
        self.query = nn.Conv2d(channels, hidden, kernel_size=1)
        self.key = nn.Conv2d(channels, hidden, kernel_size=1)
        self.value = nn.Conv2d(channels, channels, kernel_size=1)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Map `N x C x h x w` features to features of the same shape."""
        for _ in range(self.recurrence):
            x = self._pass(x, *self._weights(x))
        return x

    def attention(self, x: Tensor) -> Tensor:
        """Compute how much each position contributes through all passes, averaged over positions.

        Args:
            x: `N x C x h x w` features.

        Returns:
            `N x 1 x h x w` weights that sum to 1 over each map.
        """
        passes = []
        for _ in range(self.recurrence):
            passes.append(self._weights(x))
            x = self._pass(x, *passes[-1])
        share = torch.full_like(x[:, 0], 1 / x[0, 0].numel())
        for column, row in reversed(passes):
            share = torch.einsum("nhw,nhwi->niw", share, column) + torch.einsum(
                "nhw,nhwj->nhj", share, row
            )
        return share[:, None]

    def _pass(self, x: Tensor, column: Tensor, row: Tensor) -> Tensor:
        value = self.value(x)
        means = torch.einsum("nciw,nhwi->nchw", value, column)
        means = means + torch.einsum("nchj,nhwj->nchw", value, row)
        return self.gamma * means + x

    def _weights(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Compute each position's weights of its column, `N x h x w x h`, and row, `... x w`."""
        query, key = self.query(x), self.key(x)
        height = x.shape[2]
        column = torch.einsum("nchw,nciw->nhwi", query, key)
        row = torch.einsum("nchw,nchj->nhwj", query, key)
        # The position itself is in its row and its column; it counts in the row.
        itself = torch.eye(height, dtype=torch.bool, device=x.device)[:, None]
        both = torch.cat([column.masked_fill(itself, -torch.inf), row], dim=-1).softmax(dim=-1)
        return both[..., :height], both[..., height:]


class CCNetHead(FCNHead):
    """CCNet's head: `FCNHead` with criss-cross attention between its convolutions.

    Source: Huang et al., figure 2; mmsegmentation's CCHead and PaddleSeg's CCNet, which agree but
    for the last convolution's bias and the activation. The convolutions next to the attention have
    no bias in either.

    Args:
        in_channels: Channels of the features.
        num_classes: Channels of the logits.
        channels: Channels of the 3x3 convolutions and of the attention.
        recurrence: Number of passes of the attention.
        negative_slope: Slope for negative numbers of the activation next to the attention, a leaky
            ReLU: 0.01 in PaddleSeg; 0 for the ReLU of mmsegmentation.
        conv_bias: Whether the last convolution before batch norm has a bias.
        dropout: Dropout probability before the classifier.

    Raises:
        ConfigError: If the value of an argument is not allowed.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        channels: int = 512,
        recurrence: int = 2,
        negative_slope: float = 0.0,
        conv_bias: bool = True,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(
            in_channels,
            num_classes,
            channels=channels,
            context=CrissCrossAttention(channels, recurrence=recurrence),
            conv_bias=conv_bias,
            dropout=dropout,
        )
        if not 0 <= negative_slope < 1:
            raise ConfigError(
                f"negative_slope is {negative_slope!r}", "give 0, or 0.01 as in PaddleSeg"
            )
        for conv in (self.conv_in, self.conv_out):
            conv[0].register_parameter("bias", None)
            if negative_slope > 0:
                conv[2] = nn.LeakyReLU(negative_slope, inplace=True)
