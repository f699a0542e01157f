"""Predictions of any segmentation model: whole image or sliding window, with augmentation.

A model here is whatever maps N x 3 x H x W float to N x C x H x W logits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from gcseg.data.resize import Fit, scaled_size
from gcseg.errors import ConfigError

Model = Callable[[Tensor], Tensor]
Average = Literal["logits", "probabilities"]


@dataclass(frozen=True)
class Augmentation:
    """A mode of test-time augmentation.

    Args:
        scales: Factors by which the image is resized; 1.0 is its own size.
        flip: Whether each scale is also predicted mirrored left to right.
    """

    scales: tuple[float, ...] = (1.0,)
    flip: bool = False

    def __post_init__(self) -> None:
        """Take lists from configuration and refuse what cannot be predicted."""
        object.__setattr__(self, "scales", tuple(float(scale) for scale in self.scales))
        if not self.scales or not all(0 < scale < math.inf for scale in self.scales):
            raise ConfigError(f"tta scales {list(self.scales)}", "give one or more above 0")
        if len(set(self.scales)) < len(self.scales):
            raise ConfigError(f"tta scales {list(self.scales)} repeat", "give each once")

    @property
    def views(self) -> list[tuple[float, bool]]:
        """Each (scale, mirrored) that is predicted."""
        return [(scale, flip) for scale in self.scales for flip in (False, True)[: 1 + self.flip]]


@dataclass(frozen=True)
class SlidingWindow:
    """Windows that cover an image; images smaller than the window are taken whole.

    Args:
        height: Window height in pixels.
        width: Window width in pixels.
        stride_height: Distance of neighbouring windows downwards, in pixels.
        stride_width: Distance of neighbouring windows across, in pixels.
    """

    height: int
    width: int
    stride_height: int
    stride_width: int

    def __post_init__(self) -> None:
        """Refuse windows that would leave gaps."""
        for kind in ("height", "width"):
            size, stride = getattr(self, kind), getattr(self, f"stride_{kind}")
            if not 1 <= stride <= size:
                raise ConfigError(
                    f"sliding window with {kind} {size} and stride {stride}",
                    f"use a stride of 1 to the window's {kind}",
                )

    def places(self, height: int, width: int) -> list[tuple[slice, slice]]:
        """Rows and columns of each window over an image of this size in pixels.

        The last window of a row or column is moved back to end at the image's border.
        """
        return [
            (
                slice(top, min(top + self.height, height)),
                slice(left, min(left + self.width, width)),
            )
            for top in _starts(height, self.height, self.stride_height)
            for left in _starts(width, self.width, self.stride_width)
        ]

    def logits(self, model: Model, images: Tensor) -> Tensor:
        """Average of the logits of all windows that cover a pixel.

        Source: PaddleSeg's slide_inference.
        """
        height, width = images.shape[-2:]
        total: Tensor | None = None
        count = images.new_zeros(1, 1, height, width)
        for rows, columns in self.places(height, width):
            logits = model(images[..., rows, columns]).float()
            if total is None:
                total = logits.new_zeros(*logits.shape[:2], height, width)
            total[..., rows, columns] += logits
            count[..., rows, columns] += 1
        assert total is not None
        return total / count


def _starts(size: int, window: int, stride: int) -> list[int]:
    count = max(math.ceil((size - window) / stride), 0) + 1
    return [max(min(index * stride, size - window), 0) for index in range(count)]


@torch.inference_mode()
def predict_scores(
    model: Model,
    images: Tensor,
    modes: Mapping[str, Augmentation],
    *,
    average: Average = "logits",
    window: SlidingWindow | None = None,
    fit: Fit | None = None,
    align_corners: bool = False,
) -> dict[str, Tensor]:
    """Predict images under several modes of test-time augmentation at once.

    A view (scale, mirrored) that several modes share is predicted once. Views are added up as
    they come, so memory does not grow with their number.

    Source: PaddleSeg's aug_inference (logits averaged, sizes `int(size * scale + 0.5)`);
    mmsegmentation averages probabilities.

    Args:
        model: Maps N x 3 x H x W to N x C x H x W logits.
        images: N x 3 x H x W, normalised.
        modes: Augmentation by name.
        average: What is averaged over the views.
        window: Predict each view by sliding window; whole where None.
        fit: Resize images to fit into this before the scales; None for their own size.
        align_corners: Of the resizing of logits back to the images' size; PaddleSeg never aligns
            them, mmsegmentation where the network does.

    Returns:
        By mode, N x C x H x W float32: averaged logits or probabilities.
    """
    size = images.shape[-2:]
    totals: dict[str, Tensor] = {}
    for scale, flip in all_views(modes):
        view_size = scaled_size(size[0], size[1], scale, fit)
        scores = _predict_view(model, images, view_size, flip, window, align_corners)
        if average == "probabilities":
            scores = scores.softmax(1)
        for name, mode in modes.items():
            if (scale, flip) in mode.views:
                weight = 1 / len(mode.views)
                if name in totals:
                    totals[name].add_(scores, alpha=weight)
                else:
                    totals[name] = scores * weight
    return {name: totals[name] for name in modes}


def _predict_view(
    model: Model,
    images: Tensor,
    view_size: tuple[int, int],
    flip: bool,
    window: SlidingWindow | None,
    align_corners: bool,
) -> Tensor:
    size = images.shape[-2:]
    images = view_of(images, view_size, flip)
    logits = window.logits(model, images) if window else model(images).float()
    if flip:
        logits = logits.flip(-1)
    if view_size != size:
        logits = F.interpolate(logits, size, mode="bilinear", align_corners=align_corners)
    return logits


def all_views(modes: Mapping[str, Augmentation]) -> list[tuple[float, bool]]:
    """Each (scale, mirrored) that one of the modes needs.

    Sorted, so that a mode's sum has the same order, and the same bits, whatever else is asked.
    """
    return sorted({view for mode in modes.values() for view in mode.views})


def view_of(images: Tensor, size: tuple[int, int], flip: bool) -> Tensor:
    """Images N x 3 x H x W as a view shows them: resized to (height, width) pixels, mirrored."""
    if size != images.shape[-2:]:
        images = F.interpolate(images, size, mode="bilinear", align_corners=False)
    return images.flip(-1) if flip else images


@torch.inference_mode()
def predict_labels(scores: Tensor, height: int, width: int) -> Tensor:
    """Class indices at an image's own size, its padding at the bottom and right cut off.

    Args:
        scores: N x C x H x W logits or probabilities.
        height: Of the image without padding, in pixels.
        width: Likewise.

    Returns:
        N x height x width int64.
    """
    return scores[..., :height, :width].argmax(1)


@torch.inference_mode()
def predict_confidence(scores: Tensor, height: int, width: int, average: Average) -> Tensor:
    """Probabilities of the predicted classes, at an image's own size.

    Args:
        scores: N x C x H x W, averaged over the views.
        height: Of the image without padding, in pixels.
        width: Likewise.
        average: What the scores are: logits, whose softmax is taken, or probabilities.

    Returns:
        N x height x width float32 in 0..1.
    """
    scores = scores[..., :height, :width].float()
    highest = scores.amax(1)
    if average == "probabilities":
        return highest
    return (highest - scores.logsumexp(1)).exp()


@torch.inference_mode()
def predict_attention(attention: Model, images: Tensor, fit: Fit | None = None) -> Tensor:
    """Where a network looks in images as they are, at scale 1.

    Args:
        attention: Maps N x 3 x H x W to N x 1 x h x w weights, as `Segmentor.attention`.
        images: N x 3 x H x W, normalised.
        fit: See `predict_scores`.

    Returns:
        N x 1 x h x w float32 on the CPU.
    """
    size = scaled_size(images.shape[-2], images.shape[-1], 1.0, fit)
    return attention(view_of(images, size, flip=False)).float().cpu()
