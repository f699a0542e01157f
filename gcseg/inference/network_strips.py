"""Compute a network's logits in strips: the same within rounding, with less memory at once.

A convolution needs only the rows around those that it computes. So each convolutional part of the
network, such as a residual block, runs over strips of rows with as many real neighbouring rows as
its kernels reach; zeros are padded only at the image's border. Parts that see the whole image,
such as a context block, run once over the whole features.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from gcseg.models.heads import FCNHead
from gcseg.models.insertion import has_context
from gcseg.models.resnets import ResNet
from gcseg.models.segmentor import Segmentor


def runs_in_strips(model: object) -> bool:
    """Return whether `logits_in_strips` supports the network."""
    return (
        isinstance(model, Segmentor)
        and isinstance(model.backbone, ResNet)
        and not has_context(model.backbone)  # its blocks see whole features
        and isinstance(model.head, FCNHead)
    )


def logits_in_strips(model: Segmentor, x: Tensor, count: int) -> Tensor:
    """Compute `Segmentor.coarse_logits` with each convolutional part in strips.

    Features between the parts are stored in main memory. The strips' margins are computed twice.

    Args:
        model: Network in evaluation mode, see `runs_in_strips`.
        x: `N x 3 x H x W` float images.
        count: Number of strips.

    Returns:
        `N x num_classes x h x w`, on the device of `x`.

    Raises:
        TypeError: If `runs_in_strips` is false for the network.
    """
    backbone, head = model.backbone, model.head
    if not isinstance(backbone, ResNet) or has_context(backbone) or not isinstance(head, FCNHead):
        raise TypeError(f"{type(backbone).__name__} with {type(head).__name__} has no known strips")
    device = x.device
    # The stem and the max pool as one part: the features between them are the largest of all.
    features = _in_strips([backbone.stem, backbone.maxpool], x.cpu(), count, device)
    for stage in (backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4):
        for block in stage:
            features = _in_strips([block], features, count, device)
    y = _in_strips([head.conv_in], features, count, device)
    if head.context is not None:
        y = head.context(y.to(device)).cpu()
    y = _in_strips([head.conv_out], y, count, device)

    def classify(features: Tensor, y: Tensor) -> Tensor:
        logits: Tensor = head.classifier(head.conv_cat(torch.cat([features, y], dim=1)))
        return logits

    logits = _strips(classify, [features, y], count, device, *_reach([head.conv_cat]))
    return logits.to(device)


def _in_strips(modules: Iterable[nn.Module], x: Tensor, count: int, device: torch.device) -> Tensor:
    part = nn.Sequential(*modules)
    return _strips(part, [x], count, device, *_reach(part))


def _strips(
    part: Callable[..., Tensor],
    inputs: list[Tensor],
    count: int,
    device: torch.device,
    stride: int,
    margin: int,
) -> Tensor:
    """Run a part of a network over strips of its inputs' rows.

    Args:
        part: Part of a network that divides the height by its stride, rounded up.
        inputs: Features `N x C x H x W`, all of the same H.
        count: Number of strips.
        device: Device on which the part runs.
        stride: Stride of the part.
        margin: Rows of the input above and below that a row of the output depends on.

    Returns:
        `N x C' x ceil(H / stride) x W'`, in the inputs' memory.
    """
    height = inputs[0].shape[-2]
    out_height = math.ceil(height / stride)
    rows = math.ceil(out_height / count)
    # A strip begins at a position of the strided kernels over the whole image.
    margin = math.ceil(margin / stride)
    whole: Tensor | None = None
    for top in range(0, out_height, rows):
        bottom = min(top + rows, out_height)
        first = max(top - margin, 0)
        window = slice(first * stride, min((bottom + margin) * stride, height))
        strip = part(*(x[..., window, :].to(device) for x in inputs))
        if whole is None:
            by_channels = strip.is_contiguous(memory_format=torch.channels_last)
            whole = torch.empty(
                (*strip.shape[:2], out_height, strip.shape[-1]),
                dtype=strip.dtype,
                device=inputs[0].device,
                memory_format=torch.channels_last if by_channels else torch.contiguous_format,
            )
        whole[..., top:bottom, :] = strip[..., top - first : bottom - first, :]
    assert whole is not None
    return whole


def _reach(modules: Iterable[nn.Module]) -> tuple[int, int]:
    """Return the stride of consecutive modules, and the rows that their kernels reach each way.

    A residual block's shortcut reaches no further than its convolutions, and has their stride.
    """
    stride, reach = 1, 0
    for module in modules:
        for name, layer in module.named_modules():
            if isinstance(layer, nn.Conv2d | nn.MaxPool2d) and "downsample" not in name:
                kernel, step, dilation = (
                    value if isinstance(value, int) else value[0]
                    for value in (layer.kernel_size, layer.stride, layer.dilation)
                )
                reach += stride * dilation * (kernel // 2)
                stride *= step
    return stride, reach
