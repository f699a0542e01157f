"""The head of DANet (Fu et al., "Dual Attention Network for Scene Segmentation", CVPR 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gcseg.models.checks import check_positive
from gcseg.models.context.non_local import by_position, mean_attention, softmax_means
from gcseg.models.heads.parts import check_sizes, classifier, conv_bn_relu, eighth


class PositionAttention(nn.Module):
    """Add to each position a mean of all positions, weighted by the product of both's features.

    Source: Fu et al., section 3.2. The factor of the mean starts at zero, and with it the block as
    the identity.

    Args:
        channels: Channels C of the input and the output.
        attention_channels: Channels of the features whose products are the weights.
    """

    def __init__(self, channels: int, attention_channels: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, attention_channels, kernel_size=1)
        self.key = nn.Conv2d(channels, attention_channels, kernel_size=1)
        self.value = nn.Conv2d(channels, channels, kernel_size=1)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Map `N x C x h x w` features to features of the same shape."""
        query, key, value = (by_position(conv(x)) for conv in (self.query, self.key, self.value))
        means = softmax_means(query, key, value, factor=1.0)
        return self.gamma * means.transpose(1, 2).reshape_as(x) + x

    def attention(self, x: Tensor) -> Tensor:
        """Compute how much each position contributes to the means, averaged over the positions.

        Args:
            x: `N x C x h x w` features.

        Returns:
            `N x 1 x h x w` weights that sum to 1 over each map.
        """
        queries, keys = by_position(self.query(x)), by_position(self.key(x))
        return mean_attention(queries, keys, factor=1.0).view_as(x[:, :1])


class ChannelAttention(nn.Module):
    """Add to each channel a mean of all channels, weighted by how little both have in common.

    Source: Fu et al., section 3.3, and the authors' code, PaddleSeg and mmsegmentation, where the
    softmax is of the largest product minus each product. As a softmax does not see what is added
    to all of its arguments, it is the softmax of the negative products. The factor of the mean
    starts at zero, and with it the block as the identity.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Map `N x C x h x w` features to features of the same shape."""
        # Sums over all positions leave the range of float16, and are too coarse for a softmax in
        # bfloat16.
        device = "cpu" if x.is_meta else x.device.type  # which autocast knows
        with torch.autocast(device, enabled=False):
            flat = x.flatten(2).float()
            weights = (-(flat @ flat.transpose(1, 2))).softmax(dim=-1)
            means = (weights @ flat).view_as(x)
        return self.gamma * means.to(x.dtype) + x


class DANetHead(nn.Module):
    """The dual attention head: one branch with attention of positions, and one of channels.

    Source: Fu et al., figure 2; PaddleSeg's DAHead and mmsegmentation's DAHead, which agree. Each
    branch has a separate classifier, whose logits count in the loss of a training alone, as much as
    those of the branches' sum: see `forward_with_branches`.

    Args:
        in_channels: Channels of the features.
        num_classes: Channels of the logits.
        channels: Channels of both branches.
        attention_channels: Channels of the features whose products weigh pairs of positions; None
            for an eighth of `channels`.
        conv_bias: Whether the convolutions before batch norm have a bias.
        dropout: Dropout probability before the classifiers.

    Raises:
        ConfigError: If a size is smaller than 1, or `dropout` is not in [0, 1).
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        channels: int = 512,
        attention_channels: int | None = None,
        conv_bias: bool = True,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        check_sizes(in_channels, num_classes, channels, dropout)
        hidden = eighth(channels) if attention_channels is None else attention_channels
        check_positive("attention_channels", hidden)
        self.position_in = conv_bn_relu(in_channels, channels, bias=conv_bias)
        self.position = PositionAttention(channels, hidden)
        self.position_out = conv_bn_relu(channels, channels, bias=conv_bias)
        self.channel_in = conv_bn_relu(in_channels, channels, bias=conv_bias)
        self.channel = ChannelAttention()
        self.channel_out = conv_bn_relu(channels, channels, bias=conv_bias)
        self.dropout = nn.Dropout(dropout)
        self.classifier = classifier(channels, num_classes)
        self.position_classifier = classifier(channels, num_classes)
        self.channel_classifier = classifier(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map `N x in_channels x h x w` features to `N x num_classes x h x w` logits."""
        position, channel = self._branches(x)
        logits: Tensor = self.classifier(self.dropout(position + channel))
        return logits

    def forward_with_branches(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the logits, and those of both branches alone, which a training's loss adds.

        Args:
            x: `N x in_channels x h x w` features.

        Returns:
            Logits `N x num_classes x h x w` of the sum, of the positions' and of the channels'
            branch.
        """
        position, channel = self._branches(x)
        return (
            self.classifier(self.dropout(position + channel)),
            self.position_classifier(self.dropout(position)),
            self.channel_classifier(self.dropout(channel)),
        )

    def attention(self, x: Tensor) -> Tensor:
        """Compute how much each position contributes to the attention of positions.

        Args:
            x: `N x in_channels x h x w` features.

        Returns:
            `N x 1 x h x w` weights that sum to 1 over each map.
        """
        return self.position.attention(self.position_in(x))

    def _branches(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the features of both branches, each `N x channels x h x w`."""
        position: Tensor = self.position_out(self.position(self.position_in(x)))
        channel: Tensor = self.channel_out(self.channel(self.channel_in(x)))
        return position, channel
