"""The baseline head, and GCNet's, which has a global context block in it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gcseg.errors import ConfigError
from gcseg.models.context import GlobalContextBlock
from gcseg.models.heads.parts import check_sizes, classifier, conv_bn_relu


class FCNHead(nn.Module):
    """The baseline head: two 3x3 convolutions, a third over them and the input, a classifier.

    Source: PaddleSeg's GCNetHead and mmsegmentation's FCNHead with `concat_input`, which agree.

    Args:
        in_channels: Channels of the features.
        num_classes: Channels of the logits.
        channels: Channels of the 3x3 convolutions.
        context: Block between the first two convolutions that keeps the shape
            `N x channels x h x w`; `None` for the plain head.
        conv_bias: Whether the convolutions before batch norm have a bias.
        dropout: Dropout probability before the classifier.

    Raises:
        ConfigError: If a size is smaller than 1 or `dropout` is not in [0, 1).
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        channels: int = 512,
        context: nn.Module | None = None,
        conv_bias: bool = True,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        check_sizes(in_channels, num_classes, channels, dropout)
        self.conv_in = conv_bn_relu(in_channels, channels, bias=conv_bias)
        self.context = context
        self.conv_out = conv_bn_relu(channels, channels, bias=conv_bias)
        self.conv_cat = conv_bn_relu(in_channels + channels, channels, bias=conv_bias)
        self.dropout = nn.Dropout(dropout)
        self.classifier = classifier(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map `N x in_channels x h x w` features to `N x num_classes x h x w` logits."""
        y = self.conv_in(x)
        if self.context is not None:
            y = self.context(y)
        y = self.conv_out(y)
        y = self.conv_cat(torch.cat([x, y], dim=1))
        logits: Tensor = self.classifier(self.dropout(y))
        return logits

    def attention(self, x: Tensor) -> Tensor:
        """Compute how much each position contributes to the context.

        Args:
            x: `N x in_channels x h x w` features.

        Returns:
            `N x 1 x h x w` weights that sum to 1 over each map, as `forward` uses them.

        Raises:
            ConfigError: If there is no context block, or it has no `attention`.
        """
        attention = getattr(self.context, "attention", None)
        if attention is None:
            kind = "no context block" if self.context is None else type(self.context).__name__
            raise ConfigError(
                f"the head has no attention map ({kind})",
                "take head=gc, or head=fcn with context=nl, snl or dnl",
            )
        weights: Tensor = attention(self.conv_in(x))
        return weights


class GCHead(FCNHead):
    """GCNet's head: `FCNHead` with a global context block, configured by plain values.

    Args:
        in_channels: Channels of the features.
        num_classes: Channels of the logits.
        channels: Channels of the 3x3 convolutions and of the context block.
        ratio: Hidden width of the context block as a fraction of `channels`.
        pooling: See `GlobalContextBlock`.
        fusion: See `GlobalContextBlock`.
        conv_bias: Whether the convolutions before batch norm have a bias.
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
        ratio: float = 0.25,
        pooling: str = "attention",
        fusion: str = "add",
        conv_bias: bool = True,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(
            in_channels,
            num_classes,
            channels=channels,
            context=GlobalContextBlock(channels, ratio=ratio, pooling=pooling, fusion=fusion),
            conv_bias=conv_bias,
            dropout=dropout,
        )
