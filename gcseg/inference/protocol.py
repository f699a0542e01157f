"""Settings of prediction: views of test-time augmentation, windows, sizes, and averages."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from gcseg.data.resize import ResizeToFit, scaled_size
from gcseg.errors import ConfigError

Model = Callable[[Tensor], Tensor]
"""Any network that maps N x 3 x H x W float to N x C x H x W logits."""

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
        """Convert lists from the configuration, and refuse scales that cannot be predicted."""
        object.__setattr__(self, "scales", tuple(float(scale) for scale in self.scales))
        if not self.scales or not all(0 < scale < math.inf for scale in self.scales):
            raise ConfigError(f"tta scales {list(self.scales)}", "give one or more above 0")
        if len(set(self.scales)) < len(self.scales):
            raise ConfigError(f"tta scales {list(self.scales)} repeat", "give each once")

    @property
    def views(self) -> list[tuple[float, bool]]:
        """List each (scale, mirrored) that is predicted."""
        return [(scale, flip) for scale in self.scales for flip in (False, True)[: 1 + self.flip]]


Modes = Mapping[str, Augmentation]
"""Modes of test-time augmentation by name."""


def all_views(modes: Modes) -> list[tuple[float, bool]]:
    """List each (scale, mirrored) that one of the modes needs.

    The list is sorted, so that a mode's sum has the same order, and the same bits, whatever the
    other modes are.
    """
    return sorted({view for mode in modes.values() for view in mode.views})


@dataclass(frozen=True)
class SlidingWindow:
    """Sliding window over an image; images smaller than the window are predicted whole.

    Args:
        height: Height of the window, in pixels.
        width: Width of the window, in pixels.
        stride_height: Vertical distance of neighbouring windows, in pixels.
        stride_width: Horizontal distance of neighbouring windows, in pixels.
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
        """List the rows and columns of each window over an image of this size in pixels.

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
        """Average, at each pixel, the logits of all windows that cover it.

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


@dataclass(frozen=True)
class Protocol:
    """Settings of prediction that all modes of test-time augmentation share.

    Args:
        average: Quantity that is averaged over the views: logits as in PaddleSeg, or probabilities
            as in mmsegmentation.
        window: Sliding window over each view; None for whole views.
        resize: Size that images are resized to before the scales; None for their own size.
        align_corners: Whether logits are resized back to the images' size with aligned corners.
            PaddleSeg never aligns them, mmsegmentation where the network does.
    """

    average: Average = "logits"
    window: SlidingWindow | None = None
    resize: ResizeToFit | None = None
    align_corners: bool = False

    def view_size(self, height: int, width: int, scale: float = 1.0) -> tuple[int, int]:
        """Return the height and width, in pixels, of an image's view at a scale."""
        return scaled_size(height, width, scale, self.resize)

    def scores(self, logits: Tensor) -> Tensor:
        """Return the averaged quantity of a view's logits N x C x H x W at the images' size."""
        return logits.softmax(1) if self.average == "probabilities" else logits
