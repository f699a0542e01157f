"""The head of PSPNet (Zhao et al., "Pyramid Scene Parsing Network", CVPR 2017)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gcseg.errors import ConfigError
from gcseg.models.checks import check_positive
from gcseg.models.heads.parts import check_norms, check_sizes, classifier, conv_bn_relu, resized

BINS = (1, 2, 3, 6)
"""Rows and columns of the pooled maps (section 3.2 of the paper)."""


class PyramidPooling(nn.Module):
    """Add to features their means over grids of regions, each resized to the features' size.

    Source: Zhao et al., figure 3c. The regions are those of PyTorch's adaptive average pooling.

    Args:
        in_channels: Channels C of the features.
        channels: Channels C' to which each pooled map is reduced.
        bins: Rows and columns of each grid.
        conv_bias: Whether the convolutions before batch norm have a bias.
        align_corners: Whether pooled maps are resized with aligned corners, see `Segmentor`.

    Raises:
        ConfigError: If a size is smaller than 1, or there are no bins.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        bins: Sequence[int] = BINS,
        conv_bias: bool = True,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        check_bins(bins)
        check_positive("pooled_channels", channels)
        self.bins = tuple(bins)
        self.align_corners = align_corners
        self.out_channels = in_channels + len(self.bins) * channels
        """Channels of the output."""
        self.projections = nn.ModuleList(
            conv_bn_relu(in_channels, channels, kernel_size=1, bias=conv_bias) for _ in self.bins
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map `N x C x h x w` features and their maps to `N x (C + bins x C') x h x w`.

        Raises:
            ConfigError: If batch norm in training mode has a single number to normalise.
        """
        maps = [x]
        for count, projection in zip(self.bins, self.projections, strict=True):
            pooled = _pooled(x, count)
            check_norms(projection, pooled, "its mean")
            maps.append(resized(projection(pooled), x, self.align_corners))
        return torch.cat(maps, dim=1)


class PSPHead(nn.Module):
    """The pyramid pooling head: features and pooled maps, a 3x3 convolution, a classifier.

    Source: Zhao et al., figure 3; PaddleSeg's PSPNetHead and mmsegmentation's PSPHead, which agree
    but for the order of the pooled maps.

    Args:
        in_channels: Channels of the features.
        num_classes: Channels of the logits.
        channels: Channels of the 3x3 convolution: 512, and 1024 in PaddleSeg.
        pooled_channels: Channels of each pooled map; None for those of the features divided by
            the number of bins, as in the paper.
        bins: Rows and columns of each grid that the features are pooled to.
        conv_bias: Whether the convolutions before batch norm have a bias.
        dropout: Dropout probability before the classifier.
        align_corners: Whether pooled maps are resized with aligned corners, see `Segmentor`.

    Raises:
        ConfigError: If a size is smaller than 1, or `dropout` is not in [0, 1).
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        channels: int = 512,
        pooled_channels: int | None = None,
        bins: Sequence[int] = BINS,
        conv_bias: bool = True,
        dropout: float = 0.1,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        check_sizes(in_channels, num_classes, channels, dropout)
        check_bins(bins)
        self.pyramid = PyramidPooling(
            in_channels,
            in_channels // len(bins) if pooled_channels is None else pooled_channels,
            bins=bins,
            conv_bias=conv_bias,
            align_corners=align_corners,
        )
        self.conv = conv_bn_relu(self.pyramid.out_channels, channels, bias=conv_bias)
        self.dropout = nn.Dropout(dropout)
        self.classifier = classifier(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map `N x in_channels x h x w` features to `N x num_classes x h x w` logits."""
        logits: Tensor = self.classifier(self.dropout(self.conv(self.pyramid(x))))
        return logits


def check_bins(bins: Sequence[int]) -> None:
    """Check the numbers of rows and columns of the pooled maps.

    Raises:
        ConfigError: If there are none, or one is smaller than 1.
    """
    if not bins:
        raise ConfigError("bins is empty", "give the rows and columns of pooled maps: [1,2,3,6]")
    for count in bins:
        check_positive("bins", count)


def _pooled(x: Tensor, count: int) -> Tensor:
    """Average `N x C x h x w` features over a grid of regions, to `N x C x count x count`.

    A product of matrices, as the gradient of PyTorch's adaptive pooling is not deterministic on
    GPUs.
    """
    if count == 1:
        return x.mean(dim=(2, 3), keepdim=True)
    rows, columns = _averages(x, x.shape[2], count), _averages(x, x.shape[3], count)
    return rows @ (x @ columns.T)


def _averages(x: Tensor, size: int, count: int) -> Tensor:
    """Return the matrix, count x size, that averages positions in `count` overlapping ranges."""
    position = torch.arange(size, device=x.device)
    index = torch.arange(count, device=x.device)[:, None]
    first, last = index * size // count, ((index + 1) * size - 1) // count
    inside = ((position >= first) & (position <= last)).to(x.dtype)
    return inside / (last - first + 1).to(x.dtype)
