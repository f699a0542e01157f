"""The head of OCRNet.

Source: Yuan et al., "Object-Contextual Representations for Semantic Segmentation", ECCV 2020.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gcseg.models.checks import check_positive
from gcseg.models.heads.parts import (
    check_norms,
    check_sizes,
    classifier,
    conv_bn_relu,
    resized,
)


class OCRHead(nn.Module):
    """Each position takes from the regions of the classes, found by the auxiliary head's logits.

    The softmax of each class's logits over the positions weighs the features of its region; each
    position attends to the regions. The main loss trains the auxiliary head, too.

    Source: Yuan et al., section 3.2 and figure 3; mmsegmentation's OCRHead in a
    CascadeEncoderDecoder. PaddleSeg's OCRNet, for HRNet, has another auxiliary head.

    Args:
        in_channels: Channels of the features.
        num_classes: Channels of the logits, and number of regions.
        channels: Channels of the features that the regions are made of.
        key_channels: Channels of queries, keys and values of the attention.
        conv_bias: Whether the convolutions before batch norm have a bias; mmsegmentation's have
            none.
        dropout: Dropout probability before the classifier.
        align_corners: Whether the auxiliary logits are resized with aligned corners, where they
            have another resolution than the features.

    Raises:
        ConfigError: If a size is smaller than 1, or `dropout` is not in [0, 1).
    """

    takes_regions = True

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        channels: int = 512,
        key_channels: int = 256,
        conv_bias: bool = True,
        dropout: float = 0.1,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        check_sizes(in_channels, num_classes, channels, dropout)
        check_positive("key_channels", key_channels)
        self.align_corners = align_corners
        self.key_channels = key_channels
        self.conv = conv_bn_relu(in_channels, channels, bias=conv_bias)
        self.query = _projection(channels, key_channels, 2, bias=conv_bias)
        self.key = _projection(channels, key_channels, 2, bias=conv_bias)
        self.value = _projection(channels, key_channels, 1, bias=conv_bias)
        self.out = conv_bn_relu(key_channels, channels, kernel_size=1, bias=conv_bias)
        self.fuse = conv_bn_relu(2 * channels, channels, kernel_size=1, bias=conv_bias)
        self.dropout = nn.Dropout(dropout)
        self.classifier = classifier(channels, num_classes)

    def forward(self, x: Tensor, regions: Tensor) -> Tensor:
        """Compute logits `N x num_classes x h x w`.

        Args:
            x: `N x in_channels x h x w` features.
            regions: `N x num_classes x h' x w'` logits of the auxiliary head.

        Raises:
            ConfigError: If batch norm in training mode has a single number to normalise.
        """
        x = self.conv(x)
        weights = resized(regions, x, self.align_corners).flatten(2).softmax(dim=2)  # N x K x hw
        objects = (x.flatten(2) @ weights.transpose(1, 2)).unsqueeze(3)  # N x C x K x 1
        check_norms(self.key, objects, "the region of its one class")
        query = self.query(x).flatten(2).transpose(1, 2)  # N x hw x C'
        key, value = self.key(objects).flatten(2), self.value(objects).flatten(2)  # N x C' x K
        attention = (query @ key * self.key_channels**-0.5).softmax(dim=2)  # N x hw x K
        context = (value @ attention.transpose(1, 2)).unflatten(2, x.shape[-2:])
        y = self.fuse(torch.cat([self.out(context), x], dim=1))
        logits: Tensor = self.classifier(self.dropout(y))
        return logits


def _projection(in_channels: int, out_channels: int, count: int, *, bias: bool) -> nn.Sequential:
    """Build so many 1x1 convolutions with batch norm and ReLU."""
    return nn.Sequential(
        *(
            conv_bn_relu(
                in_channels if number == 0 else out_channels,
                out_channels,
                kernel_size=1,
                bias=bias,
            )
            for number in range(count)
        )
    )
