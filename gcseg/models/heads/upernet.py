"""The head of UPerNet.

Source: Xiao et al., "Unified Perceptual Parsing for Scene Understanding", ECCV 2018.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gcseg.models.heads.parts import check_sizes, classifier, conv_bn_relu, resized
from gcseg.models.heads.psp import BINS, PyramidPooling, check_bins


class UPerNetHead(nn.Module):
    """A feature pyramid from all four stages, with pyramid pooling on the last.

    Source: Xiao et al., section 3.1 and figure 4 with its scene parsing at the pyramid's finest
    resolution; PaddleSeg's UPerNetHead and mmsegmentation's UPerHead.

    Args:
        in_channels: Channels of each stage's features.
        num_classes: Channels of the logits.
        channels: Channels of the feature pyramid.
        pooled_channels: Channels of each pooled map; None for those of the last stage divided by
            the number of bins, as in PaddleSeg; mmsegmentation has `channels` of them.
        bins: Rows and columns of each grid that the last stage's features are pooled to.
        inner_align_corners: Whether features are resized with aligned corners inside the head:
            always in PaddleSeg; None for `align_corners`, as in mmsegmentation.
        conv_bias: Whether the convolutions before batch norm have a bias. Those after the sums of
            the feature pyramid have none in either framework.
        dropout: Dropout probability before the classifier.
        align_corners: Whether the logits are resized with aligned corners, see `Segmentor`.

    Raises:
        ConfigError: If the value of an argument is not allowed.
    """

    stages = (1, 2, 3, 4)

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        channels: int = 512,
        pooled_channels: int | None = None,
        bins: Sequence[int] = BINS,
        inner_align_corners: bool | None = None,
        conv_bias: bool = True,
        dropout: float = 0.1,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        for size in in_channels:
            check_sizes(size, num_classes, channels, dropout)
        check_bins(bins)
        *lower, last = in_channels
        self.align_corners = align_corners if inner_align_corners is None else inner_align_corners
        self.pooling = PyramidPooling(
            last,
            last // len(bins) if pooled_channels is None else pooled_channels,
            bins=bins,
            conv_bias=conv_bias,
            align_corners=self.align_corners,
        )
        self.top = conv_bn_relu(self.pooling.out_channels, channels, bias=conv_bias)
        self.laterals = nn.ModuleList(
            conv_bn_relu(size, channels, kernel_size=1, bias=conv_bias) for size in lower
        )
        self.refine = nn.ModuleList(conv_bn_relu(channels, channels, bias=False) for _ in lower)
        self.fuse = conv_bn_relu(len(in_channels) * channels, channels, bias=conv_bias)
        self.dropout = nn.Dropout(dropout)
        self.classifier = classifier(channels, num_classes)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Compute logits from the features `N x C x h x w` of the four stages.

        Returns:
            `N x num_classes x h x w` of the first stage's h and w.

        Raises:
            ConfigError: If batch norm in training mode has a single number to normalise.
        """
        y = self.top(self.pooling(features[-1]))
        levels = [y]
        lower = list(zip(features[:-1], self.laterals, self.refine, strict=True))
        for x, lateral, refine in reversed(lower):
            x = lateral(x)
            y = x + resized(y, x, self.align_corners)
            levels.insert(0, refine(y))
        levels = [resized(level, levels[0], self.align_corners) for level in levels]
        logits: Tensor = self.classifier(self.dropout(self.fuse(torch.cat(levels, dim=1))))
        return logits
