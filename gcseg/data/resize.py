"""Resizing of whole images."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gcseg.errors import ConfigError


@dataclass(frozen=True)
class ResizeToFit:
    """The size at which an image is predicted: as large as fits into a rectangle, either way up.

    Source: mmsegmentation's `Resize(scale=(long, short), keep_ratio=True)`.

    Args:
        long: Length of the rectangle's longer side in pixels.
        short: Length of its shorter side.
    """

    long: int
    short: int

    def __post_init__(self) -> None:
        """Refuse what is no rectangle."""
        if not 1 <= self.short <= self.long < math.inf:
            raise ConfigError(
                f"fit into {self.long} x {self.short} pixels", "give 1 <= short <= long"
            )

    def factor(self, height: int, width: int, scale: float) -> float:
        """By what an image is resized for a scale of test-time augmentation.

        The scale is the rectangle's, whose sides are whole pixels.
        """
        long, short = int(self.long * scale), int(self.short * scale)
        return min(long / max(height, width), short / min(height, width))


def scaled_size(
    height: int, width: int, scale: float, fit: ResizeToFit | None = None
) -> tuple[int, int]:
    """The height and width in pixels that an image is resized to.

    Args:
        height: Of the image.
        width: Of the image.
        scale: By which the image is scaled, or the rectangle that it is to fit into.
        fit: That rectangle.
    """
    factor = fit.factor(height, width, scale) if fit else scale
    return max(int(height * factor + 0.5), 1), max(int(width * factor + 0.5), 1)
