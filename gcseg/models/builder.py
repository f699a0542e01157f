"""Functions that build whole networks."""

from __future__ import annotations

from gcseg.models.checks import check_choice
from gcseg.models.heads import AuxiliaryHead, GCHead
from gcseg.models.resnets import DEPTHS, resnet
from gcseg.models.segmentor import Segmentor


def gcnet(
    backbone: str = "r50",
    num_classes: int = 19,
    *,
    variant: str = "vd",
    output_stride: int = 8,
    in_channels: int = 3,
    channels: int = 512,
    ratio: float = 0.25,
    pooling: str = "attention",
    fusion: str = "add",
    conv_bias: bool = True,
    dropout: float = 0.1,
    auxiliary: bool = True,
    align_corners: bool = False,
    checkpoint_activations: bool = False,
) -> Segmentor:
    """Build GCNet (Cao et al., ICCVW 2019) with random weights.

    The defaults are PaddleSeg's GCNet; mmsegmentation's has `variant="v1c", conv_bias=False`.

    Args:
        backbone: `"r18"`, `"r34"`, `"r50"`, `"r101"` or `"r152"`.
        num_classes: Number of classes, the channels of the logits.
        variant: Variant of the ResNet, see `gcseg.models.resnets.resnet`.
        output_stride: Output stride of the backbone's last stage: 8, 16 or 32.
        in_channels: Channels of the images.
        channels: Channels of the head's 3x3 convolutions and of the context block.
        ratio: Hidden width of the context block as a fraction of `channels`.
        pooling: Pooling of the context block: `"attention"` or `"average"`.
        fusion: Fusion of the context block: `"add"`, `"multiply"` or `"add+multiply"`.
        conv_bias: Whether the heads' 3x3 convolutions have a bias in addition to batch norm.
        dropout: Dropout probability before both classifiers.
        auxiliary: Whether to add an auxiliary head on the third stage.
        align_corners: See `Segmentor`; mmsegmentation's networks for crops of 769 pixels use it.
        checkpoint_activations: Whether to recompute the backbone's activations in the backward
            pass, see `gcseg.models.resnets.ResNet`.

    Returns:
        A network that maps `N x in_channels x H x W` images to `N x num_classes x H x W` logits.

    Raises:
        ConfigError: If the value of an argument is not allowed.

    Example:
        >>> import torch
        >>> model = gcnet("r18", num_classes=3, channels=32).eval()
        >>> with torch.inference_mode():
        ...     logits = model(torch.zeros(1, 3, 64, 96))
        >>> logits.shape
        torch.Size([1, 3, 64, 96])
    """
    check_choice("backbone", backbone, (f"r{depth}" for depth in DEPTHS))
    features = resnet(
        int(backbone.removeprefix("r")),
        variant=variant,
        output_stride=output_stride,
        in_channels=in_channels,
        checkpoint_activations=checkpoint_activations,
    )
    head = GCHead(
        features.channels[3],
        num_classes,
        channels=channels,
        ratio=ratio,
        pooling=pooling,
        fusion=fusion,
        conv_bias=conv_bias,
        dropout=dropout,
    )
    auxiliary_head = (
        AuxiliaryHead(features.channels[2], num_classes, conv_bias=conv_bias, dropout=dropout)
        if auxiliary
        else None
    )
    return Segmentor(
        features, head, auxiliary_head, align_corners=align_corners, in_channels=in_channels
    )
