"""Resizing of whole images."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gcseg.errors import ConfigError


@dataclass(frozen=True)
class ResizeToFit:
    """Size for prediction: an image is resized to fit into a rectangle, in either orientation.

    Source: mmsegmentation's `Resize(scale=(long, short), keep_ratio=True)`.

    Args:
        long: Length of the rectangle's longer side, in pixels.
        short: Length of the rectangle's shorter side, in pixels.
    """

    long: int
    short: int

    def __post_init__(self) -> None:
        """Refuse invalid rectangles."""
        if not 1 <= self.short <= self.long < math.inf:
            raise ConfigError(
                f"fit into {self.long} x {self.short} pixels", "give 1 <= short <= long"
            )

    def factor(self, height: int, width: int, scale: float) -> float:
        """Return an image's resize factor for a scale of test-time augmentation.

        The rectangle is scaled, and its sides are rounded down to whole pixels.
        """
        long, short = int(self.long * scale), int(self.short * scale)
        return min(long / max(height, width), short / min(height, width))


def scaled_size(
    height: int, width: int, scale: float, fit: ResizeToFit | None = None
) -> tuple[int, int]:
    """Return the height and width in pixels to which an image is resized.

    Args:
        height: Height of the image, in pixels.
        width: Width of the image, in pixels.
        scale: Scale factor of the image, or of the rectangle that it is to fit into.
        fit: Rectangle that is scaled instead of the image; None for none.
    """
    factor = fit.factor(height, width, scale) if fit else scale
    return max(int(height * factor + 0.5), 1), max(int(width * factor + 0.5), 1)
