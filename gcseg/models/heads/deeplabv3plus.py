"""The head of DeepLabV3+.

Source: Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image
Segmentation", ECCV 2018.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gcseg.errors import ConfigError
from gcseg.models.checks import check_choice, check_positive
from gcseg.models.heads.parts import (
    check_norms,
    check_sizes,
    classifier,
    conv_bn_relu,
    pooled_to_one,
    resized,
)

DILATIONS = (1, 12, 24, 36)
"""Dilations at an output stride of 8 (section 3.1 of DeepLabV3); at 16 they are 1, 6, 12, 18."""


class DeepLabV3PlusHead(nn.Module):
    """The decoder of DeepLabV3+: a pyramid of dilated convolutions, joined with the first stage.

    The pyramid is over the last stage's features. Logits have the first stage's resolution.

    Source: Chen et al., figure 2; PaddleSeg's DeepLabV3PHead, whose settings are the defaults, and
    mmsegmentation's DepthwiseSeparableASPPHead. Dropout is before the classifier, as in
    mmsegmentation; PaddleSeg's, of the same probability, is after the pyramid.

    Args:
        in_channels: Channels of the first and of the last stage's features.
        num_classes: Channels of the logits.
        channels: Channels of the pyramid's and the decoder's convolutions: 256, as in the paper and
            PaddleSeg; mmsegmentation has 512.
        low_channels: Channels to which the first stage's features are reduced.
        dilations: Dilation of each of the pyramid's convolutions, in positions of the last stage;
            one of 1 is a 1x1 convolution, the others are depthwise 3x3 and 1x1.
        pyramid_kernel: Height and width of the convolution that joins the pyramid: 1, as in the
            paper and PaddleSeg; mmsegmentation has 3.
        depthwise_relu: Whether a ReLU follows the batch norm of depthwise convolutions, as in
            mmsegmentation.
        conv_bias: Whether the convolutions before batch norm have a bias. That of the mean over the
            image has none in either framework.
        dropout: Dropout probability before the classifier.
        align_corners: Whether features are resized with aligned corners, see `Segmentor`.

    Raises:
        ConfigError: If the value of an argument is not allowed.
    """

    stages = (1, 4)

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        channels: int = 256,
        low_channels: int = 48,
        dilations: Sequence[int] = DILATIONS,
        pyramid_kernel: int = 1,
        depthwise_relu: bool = False,
        conv_bias: bool = True,
        dropout: float = 0.1,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        low, last = in_channels
        for size in (low, last):
            check_sizes(size, num_classes, channels, dropout)
        check_positive("low_channels", low_channels)
        check_choice("pyramid_kernel", pyramid_kernel, (1, 3))
        if not dilations:
            raise ConfigError("dilations is empty", f"give some, such as {list(DILATIONS)}")
        for dilation in dilations:
            check_positive("dilations", dilation)
        self.align_corners = align_corners
        self.image_pool = conv_bn_relu(last, channels, kernel_size=1, bias=False)
        self.branches = nn.ModuleList(
            conv_bn_relu(last, channels, kernel_size=1, bias=conv_bias)
            if dilation == 1
            else _separable(last, channels, dilation, bias=conv_bias, relu=depthwise_relu)
            for dilation in dilations
        )
        self.pyramid = conv_bn_relu(
            (len(dilations) + 1) * channels, channels, kernel_size=pyramid_kernel, bias=conv_bias
        )
        self.low = conv_bn_relu(low, low_channels, kernel_size=1, bias=conv_bias)
        self.decoder = nn.Sequential(
            _separable(channels + low_channels, channels, bias=conv_bias, relu=depthwise_relu),
            _separable(channels, channels, bias=conv_bias, relu=depthwise_relu),
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = classifier(channels, num_classes)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Compute logits from features `N x C1 x h1 x w1` and `N x C4 x h4 x w4`.

        Returns:
            `N x num_classes x h1 x w1`.

        Raises:
            ConfigError: If batch norm in training mode has a single number to normalise.
        """
        low, last = features
        mean = pooled_to_one(last)
        check_norms(self.image_pool, mean, "its mean")
        mean = self.image_pool(mean).expand(-1, -1, *last.shape[-2:])
        y = self.pyramid(torch.cat([mean, *(branch(last) for branch in self.branches)], dim=1))
        low = self.low(low)
        y = self.decoder(torch.cat([resized(y, low, self.align_corners), low], dim=1))
        logits: Tensor = self.classifier(self.dropout(y))
        return logits


def _separable(
    in_channels: int, out_channels: int, dilation: int = 1, *, bias: bool, relu: bool
) -> nn.Sequential:
    """Build a depthwise 3x3 and a 1x1 convolution, each with batch norm.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        dilation: Distance between the kernel's elements, in positions.
        bias: Whether the convolutions have a bias.
        relu: Whether a ReLU follows the depthwise convolution, too.
    """
    return nn.Sequential(
        conv_bn_relu(
            in_channels, in_channels, dilation=dilation, groups=in_channels, bias=bias, relu=relu
        ),
        conv_bn_relu(in_channels, out_channels, kernel_size=1, bias=bias),
    )
