"""The auxiliary head, for deep supervision of an earlier stage."""

from __future__ import annotations

from torch import Tensor, nn

from gcseg.models.heads.parts import check_sizes, classifier, conv_bn_relu


class AuxiliaryHead(nn.Module):
    """One 3x3 convolution and a classifier, for deep supervision of an earlier stage.

    Source: PaddleSeg's AuxLayer and mmsegmentation's FCNHead with one convolution.

    Args:
        in_channels: Channels of the features.
        num_classes: Channels of the logits.
        channels: Channels of the 3x3 convolution; `None` for a quarter of `in_channels`, as in
            both frameworks.
        conv_bias: Whether the convolution has a bias in addition to batch norm.
        dropout: Dropout probability before the classifier.

    Raises:
        ConfigError: If a size is smaller than 1 or `dropout` is not in [0, 1).
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        channels: int | None = None,
        conv_bias: bool = True,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        channels = in_channels // 4 if channels is None else channels
        check_sizes(in_channels, num_classes, channels, dropout)
        self.conv = conv_bn_relu(in_channels, channels, bias=conv_bias)
        self.dropout = nn.Dropout(dropout)
        self.classifier = classifier(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map `N x in_channels x h x w` features to `N x num_classes x h x w` logits."""
        logits: Tensor = self.classifier(self.dropout(self.conv(x)))
        return logits
