"""Attention maps laid over their images."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from gcseg.data.reading import UInt8Array
from gcseg.visualization.lettering import caption, font

FloatArray = npt.NDArray[np.float32]

COLORMAP = cv2.COLORMAP_INFERNO
"""Colours of the weights: perceptually uniform, and dark for small weights."""

_GAP = 4
_SMALLEST_SPAN = 2.0  # least end of the scale; a uniform map's 1 is then in the middle
_IMAGE_SHARE = (0.55, 0.2)
"""Share of the image's brightness at the smallest and the largest weights: visible, but never
brighter than a larger weight."""


def relative_weights(
    weights: FloatArray,
    height: int,
    width: int,
    *,
    padded: tuple[int, int] | None = None,
) -> FloatArray:
    """Scale attention to an image's size, as multiples of the weight in a uniform map.

    Args:
        weights: Weights of `Segmentor.attention`, h x w, that sum to 1.
        height: Height of the image, in pixels.
        width: Width of the image, in pixels.
        padded: Height and width of the area that the weights cover: the image with its padding at
            the bottom and right; None if there is no padding.

    Returns:
        The multiples, H x W, bilinear between the features' positions.
    """
    padded_height, padded_width = padded or (height, width)
    multiples = weights.astype(np.float32) * weights.size
    whole = cv2.resize(multiples, (padded_width, padded_height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(whole[:height, :width], np.float32)


def scale_end(relative: FloatArray) -> float:
    """Return the end of a picture's scale, which starts at 0: the largest weight, at least 2."""
    return max(float(relative.max()), _SMALLEST_SPAN)


def attention_overlay(image: UInt8Array, relative: FloatArray) -> UInt8Array:
    """Lay an attention map over its image, of which only the brightness is kept.

    The darkest colour is 0, the brightest `scale_end`.

    Args:
        image: The image, H x W x 3 RGB.
        relative: Weights as multiples of that in a uniform map, H x W, see `relative_weights`.

    Returns:
        H x W x 3 RGB.
    """
    return _laid_over(image, relative, scale_end(relative))


def attention_panel(image: UInt8Array, relative: FloatArray) -> UInt8Array:
    """Draw image, attention map and scale in a row.

    Args:
        image: The image, H x W x 3 RGB.
        relative: Weights as multiples of that in a uniform map, H x W, see `relative_weights`.

    Returns:
        The row, H x (two image widths, gaps and the scale's width) x 3 RGB.
    """
    end = scale_end(relative)
    gap = np.full((image.shape[0], _GAP, 3), 255, np.uint8)
    scale = _scale(image.shape[0], end, image.shape[1])
    return np.hstack([image, gap, _laid_over(image, relative, end), gap, scale])


def shrunk(picture: UInt8Array, width: int = 1280) -> UInt8Array:
    """Resize a picture, H x W x 3, to a width in pixels, by default the sheet's."""
    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def attention_sheet(panels: Sequence[UInt8Array], names: Sequence[str]) -> Image.Image:
    """Stack panels of one width, each below its name, with a line that explains the scale.

    Args:
        panels: At least one panel, H x W x 3 RGB, of any height.
        names: Name of each panel; further ones are left out.
    """
    width = panels[0].shape[1]
    gap = np.full((_GAP, width, 3), 255, np.uint8)
    rows = [
        part
        for panel, name in zip(panels, names, strict=False)
        for part in (caption(name, width), panel, gap)
    ]
    footer = Image.new("RGB", (width, 28), "white")
    text = "Attention: weight of each position in the context; 1x is that of a uniform map"
    ImageDraw.Draw(footer).text((4, 5), text, fill="black", font=font(15))
    return Image.fromarray(np.vstack([*rows, np.asarray(footer, np.uint8)]))


def _laid_over(image: UInt8Array, relative: FloatArray, end: float) -> UInt8Array:
    fractions = (relative / np.float32(end))[..., None]
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
    lowest, highest = map(np.float32, _IMAGE_SHARE)
    share = lowest + (highest - lowest) * fractions
    mixed = share * grey + (1 - share) * _colors(fractions[..., 0])
    return np.asarray(mixed + np.float32(0.5), np.uint8)


def _colors(fractions: FloatArray) -> UInt8Array:
    """Convert fractions in 0..1, H x W, to colours, H x W x 3 RGB."""
    levels = np.clip(fractions * 255 + 0.5, 0, 255).astype(np.uint8)
    return np.asarray(cv2.applyColorMap(levels, COLORMAP)[..., ::-1], np.uint8)


def _scale(height: int, end: float, image_width: int) -> UInt8Array:
    """Draw a colour bar from 0 at the bottom to `end` at the top, with a few numbers."""
    size = int(np.clip(min(height, image_width) / 26, 8, 64))
    bar = max(size // 2, 4)
    letters = font(size)
    ticks = _ticks(end)
    labels = [f"{tick:g}x" for tick in ticks]
    text_width = max(int(letters.getlength(label)) for label in labels) + 1
    canvas = Image.new("RGB", (bar + size // 3 + 2 + text_width, height), "white")
    ramp = np.linspace(1, 0, height, dtype=np.float32)[:, None].repeat(bar, axis=1)
    canvas.paste(Image.fromarray(_colors(ramp)), (0, 0))
    draw = ImageDraw.Draw(canvas)
    for tick, label in zip(ticks, labels, strict=True):
        y = (1 - tick / end) * (height - 1)
        draw.line((bar, y, bar + size // 3, y), fill="black", width=max(size // 12, 1))
        place = float(np.clip(y, size * 0.6, max(height - 1 - size * 0.6, size * 0.6)))
        draw.text((bar + size // 3 + 2, place), label, fill="black", font=letters, anchor="lm")
    return np.asarray(canvas, np.uint8)


def _ticks(end: float) -> list[float]:
    """Return at most seven ticks: 0, 1 if it does not touch 0, and round numbers up to `end`."""
    step = 10.0 ** np.floor(np.log10(end / 2))
    step = float(next(step * factor for factor in (1, 2, 5, 10) if end / (step * factor) <= 5))
    ticks = [step * index for index in range(int(end / step) + 1)]
    uniform = [1.0] if 1.0 not in ticks and 0.3 * step < 1.0 else []
    return sorted(ticks + uniform)
