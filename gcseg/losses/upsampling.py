"""Cross entropy of logits that are upsampled bilinearly, without a map of all upsampled logits.

A network's logits have an eighth of the picture's height and width. Upsampled, with their softmax
and its gradient, they would take more memory than anything else in the network. Here they are made
a few rows at a time, and again in the backward pass, which keeps one number per pixel instead of
three per pixel and class.

Upsampling is linear: rows and columns have a matrix each, of `F.interpolate`'s own weights. Its
gradient is the product with the transposed ones, a sum in a fixed order, so that it is the same
twice on every device; the gradient of `F.interpolate` is not on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from gcseg.data.label_spaces import IGNORE_INDEX

_ELEMENTS = {"cpu": 2**18}
"""Upsampled logits that are held at a time, by device: on a CPU so many that caches hold them."""
_ELEMENTS_ELSEWHERE = 2**23


class _Rows(NamedTuple):
    """Rows of a picture, and what they are computed from.

    Args:
        first: The first row.
        end: The row after the last one.
        weights: Weights of the logits' rows, (end - first) x (coarse_end - coarse_first).
        coarse_first: The first row of the logits.
        coarse_end: The row of the logits after the last one.
    """

    first: int
    end: int
    weights: Tensor
    coarse_first: int
    coarse_end: int


def pixel_losses(
    logits: Tensor, labels: Tensor, ignore_index: int = IGNORE_INDEX, *, align_corners: bool = False
) -> Tensor:
    """Compute the cross entropy of each pixel.

    Args:
        logits: Logits N x C x h x w of any float type; the loss is computed in float32, or in
            float64 of float64.
        labels: Class indices N x H x W, int64.
        ignore_index: Label of the ignored pixels.
        align_corners: Whether logits of another size than the labels are upsampled with the centres
            of the corner pixels aligned.

    Returns:
        Losses, N x H x W, 0 for ignored pixels.
    """
    if logits.dtype != torch.float64:
        logits = logits.float()
    if logits.shape[-2:] == labels.shape[-2:]:
        return F.cross_entropy(logits, labels, ignore_index=ignore_index, reduction="none")
    with torch.autocast(logits.device.type, enabled=False):
        losses: Tensor = _UpsampledCrossEntropy.apply(logits, labels, ignore_index, align_corners)  # type: ignore[no-untyped-call]
    return losses


def takes_coarse(loss: object) -> bool:
    """Return whether a loss upsamples logits by itself, by its attribute `upsamples`.

    Such a loss has an argument `align_corners` in addition to logits and labels.
    """
    return bool(getattr(loss, "upsamples", False))


def loss_of(
    loss: Callable[..., Tensor], logits: Tensor, labels: Tensor, *, align_corners: bool = False
) -> Tensor:
    """Compute a loss of logits at the resolution at which a head gives them.

    Args:
        loss: Maps logits and labels of one size to a scalar, or see `takes_coarse`.
        logits: Logits N x C x h x w.
        labels: Class indices, N x H x W int64.
        align_corners: See `pixel_losses`.

    Returns:
        The loss, a scalar.
    """
    if takes_coarse(loss):
        return loss(logits, labels, align_corners=align_corners)
    size = labels.shape[-2:]
    if logits.shape[-2:] != size:
        logits = F.interpolate(logits, size=size, mode="bilinear", align_corners=align_corners)
    return loss(logits, labels)


class _UpsampledCrossEntropy(torch.autograd.Function):
    """Losses N x H x W of logits N x C x h x w and labels N x H x W, see `pixel_losses`."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, labels: Tensor, ignore_index: int, align_corners: bool
    ) -> Tensor:
        logits = logits.contiguous()
        losses = logits.new_empty(labels.shape)
        for image in range(len(logits)):
            for rows in _strips(logits, labels, align_corners):
                losses[image, rows.first : rows.end] = F.cross_entropy(
                    _upsampled_rows(logits[image], rows, labels.shape[-1], align_corners)[None],
                    labels[image, None, rows.first : rows.end],
                    ignore_index=ignore_index,
                    reduction="none",
                )[0]
        ctx.save_for_backward(logits, labels)
        ctx.ignore_index, ctx.align_corners = ignore_index, align_corners
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        logits, labels = ctx.saved_tensors
        with torch.autocast(logits.device.type, enabled=False):  # a backward pass may be in one
            found = _gradient(gradient, logits, labels, ctx.ignore_index, ctx.align_corners)
        return found, None, None, None


def _gradient(
    gradient: Tensor, logits: Tensor, labels: Tensor, ignore_index: int, align_corners: bool
) -> Tensor:
    """Return the gradient N x C x h x w of logits from that of the losses, N x H x W."""
    width = labels.shape[-1]
    found = torch.zeros_like(logits)
    columns = _matrix(logits.shape[-1], width, align_corners, logits.dtype, logits.device)
    for image in range(len(logits)):
        for rows in _strips(logits, labels, align_corners):
            classes = labels[image, None, rows.first : rows.end]
            ignored = classes == ignore_index
            of_pixel = gradient[image, None, rows.first : rows.end].masked_fill(ignored, 0)
            fine = _upsampled_rows(logits[image], rows, width, align_corners).softmax(0)
            fine.mul_(of_pixel)
            fine.scatter_add_(0, classes.masked_fill(ignored, 0), -of_pixel)
            narrow = torch.einsum("rk,crw->ckw", rows.weights, fine)
            found[image, :, rows.coarse_first : rows.coarse_end] += narrow @ columns
    return found


def _upsampled_rows(logits: Tensor, rows: _Rows, width: int, align_corners: bool) -> Tensor:
    """Upsample logits C x h x w to some rows of the picture, C x rows x width."""
    coarse = logits[:, rows.coarse_first : rows.coarse_end]
    tall = torch.einsum("rk,ckw->crw", rows.weights, coarse)
    return F.interpolate(tall, size=width, mode="linear", align_corners=align_corners)


def _strips(logits: Tensor, labels: Tensor, align_corners: bool) -> Iterator[_Rows]:
    """Yield the rows of a picture in parts."""
    elements = _ELEMENTS.get(logits.device.type, _ELEMENTS_ELSEWHERE)
    height, width = labels.shape[-2:]
    return iter(
        _parts(
            max(1, elements // (logits.shape[1] * width)),
            logits.shape[-2],
            height,
            align_corners,
            logits.dtype,
            logits.device,
        )
    )


@lru_cache(maxsize=16)
def _parts(
    count: int,
    coarse_height: int,
    height: int,
    align_corners: bool,
    dtype: torch.dtype,
    device: torch.device,
) -> tuple[_Rows, ...]:
    """Return the rows of a picture in parts of `count`."""
    matrix = _matrix(coarse_height, height, align_corners, dtype, torch.device("cpu"))
    parts = []
    for first in range(0, height, count):
        weights = matrix[first : first + count]
        used = weights.any(0).nonzero()  # on the CPU, so that nobody waits for a GPU
        start, end = int(used[0]), int(used[-1]) + 1
        parts.append(
            _Rows(first, first + len(weights), weights[:, start:end].to(device), start, end)
        )
    return tuple(parts)


@lru_cache(maxsize=16)
def _matrix(
    coarse: int, fine: int, align_corners: bool, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Return the weights of linear upsampling along one side, fine x coarse."""
    with torch.inference_mode(False), torch.no_grad():
        unit = torch.eye(coarse, dtype=dtype)[None]
        found = F.interpolate(unit, size=fine, mode="linear", align_corners=align_corners)
        return found[0].T.contiguous().to(device)
