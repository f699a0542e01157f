"""Training augmentation and evaluation preprocessing, as albumentations pipelines."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # importing it would ask an index

import albumentations as A
import cv2
import numpy as np

from gcseg.data.label_spaces import IGNORE_INDEX
from gcseg.data.reading import UInt8Array
from gcseg.errors import ConfigError

PADDING_GREY = 127.5
"""Grey level of padding, 0..255 before normalisation, as PaddleSeg pads."""


class RandomScaledCrop(A.DualTransform):  # type: ignore[misc]  # albumentations is untyped
    """Resize by a random factor, then take a random window.

    Source: PaddleSeg's ResizeStepScaling and the cropping half of RandomPaddingCrop. An image
    smaller than the window in a direction is taken whole in it; padding comes after
    normalisation, where its grey is exact.

    Args:
        height: Window height in pixels.
        width: Window width in pixels.
        scale_min: Smallest factor.
        scale_max: Largest factor.
        scale_step: Distance of the factors that are drawn; 0 draws from the whole range.
        p: Probability of applying it.
    """

    _targets = (A.core.type_definitions.Targets.IMAGE, A.core.type_definitions.Targets.MASK)

    def __init__(
        self,
        height: int,
        width: int,
        scale_min: float = 0.5,
        scale_max: float = 2.0,
        scale_step: float = 0.25,
        p: float = 1.0,
    ) -> None:
        super().__init__(p=p)
        self.height = height
        self.width = width
        self.scale_min = scale_min
        self.scale_max = scale_max
        self.scale_step = scale_step

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, int]:
        """Draw the scaled size and the window in it, in pixels."""
        scale = self._draw_scale()
        height, width = (max(int(length * scale + 0.5), 1) for length in params["shape"][:2])
        return {
            "scaled_height": height,
            "scaled_width": width,
            "top": self.py_random.randint(0, max(height - self.height, 0)),
            "left": self.py_random.randint(0, max(width - self.width, 0)),
        }

    def _draw_scale(self) -> float:
        if not self.scale_step:
            return float(self.py_random.uniform(self.scale_min, self.scale_max))
        steps = int((self.scale_max - self.scale_min) / self.scale_step + 1e-6)
        return self.scale_min + self.scale_step * int(self.py_random.randint(0, steps))

    def apply(self, img: UInt8Array, **params: Any) -> UInt8Array:
        """Resize and crop the image, H x W x 3."""
        return self._window(img, cv2.INTER_LINEAR, **params)

    def apply_to_mask(self, mask: UInt8Array, **params: Any) -> UInt8Array:
        """Resize and crop the label, H x W, without mixing classes."""
        return self._window(mask, cv2.INTER_NEAREST, **params)

    def _window(
        self,
        array: UInt8Array,
        interpolation: int,
        *,
        scaled_height: int,
        scaled_width: int,
        top: int,
        left: int,
        **_: Any,
    ) -> UInt8Array:
        if array.shape[:2] != (scaled_height, scaled_width):
            size = (scaled_width, scaled_height)
            array = np.asarray(cv2.resize(array, size, interpolation=interpolation), np.uint8)
        return array[top : top + self.height, left : left + self.width]


def color_distortion(
    brightness: float, contrast: float, saturation: float, hue: float, probability: float
) -> A.BasicTransform | A.BaseCompose:
    """Distort colours in four ways, each with the same probability, in random order.

    Source: PaddleSeg's RandomDistort.

    Args:
        brightness: Largest relative change.
        contrast: Largest relative change.
        saturation: Largest relative change.
        hue: Largest shift in degrees, 0 to 180.
        probability: Of each of the four.

    Raises:
        ConfigError: The hue is not 0 to 180.
    """
    if not 0 <= hue <= 180:
        raise ConfigError(f"augment.color.hue={hue}", "give 0 to 180 degrees")
    unchanged = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}
    amounts = {
        "brightness": brightness,
        "contrast": contrast,
        "saturation": saturation,
        "hue": hue / 360,
    }
    return A.RandomOrder(
        [A.ColorJitter(**{**unchanged, kind: amount}, p=probability)
         for kind, amount in amounts.items()],
        n=len(amounts),
    )  # fmt: skip


def training_pipeline(
    *,
    height: int,
    width: int,
    mean: Sequence[float],
    std: Sequence[float],
    scale: dict[str, float],
    color: dict[str, float],
    flip: float,
    extra: Iterable[A.BasicTransform] = (),
) -> A.Compose:
    """The augmentation of the published recipe.

    Scale and crop, colour distortion, normalisation, padding with grey 127.5 (label 255) at the
    bottom and right, horizontal flip.

    Args:
        height: Crop height in pixels.
        width: Crop width in pixels.
        mean: Mean per channel of values in 0..1.
        std: Standard deviation per channel of values in 0..1.
        scale: `min`, `max` and `step` of the random scale.
        color: Arguments of `color_distortion`.
        flip: Probability of mirroring.
        extra: Transforms of your own, applied to the uint8 crop before the colour distortion.

    Returns:
        A pipeline from an H x W x 3 uint8 image and an H x W uint8 mask to a
        height x width x 3 float32 image and a height x width mask.
    """
    if not 0 < scale["min"] <= scale["max"]:
        raise ConfigError(
            f"augment.scale from {scale['min']} to {scale['max']}", "give 0 < min <= max"
        )
    return A.Compose(
        [
            RandomScaledCrop(height, width, scale["min"], scale["max"], scale["step"]),
            *extra,
            color_distortion(**color),
            *_normalize_and_pad(height, width, mean, std),
            A.HorizontalFlip(p=flip),
        ]
    )


def evaluation_pipeline(
    *, mean: Sequence[float], std: Sequence[float], pad_height: int, pad_width: int
) -> A.Compose:
    """Normalisation and padding for evaluation at native size.

    Args:
        mean: Mean per channel of values in 0..1.
        std: Standard deviation per channel of values in 0..1.
        pad_height: Images of fewer rows are padded at the bottom to this many; 0 for none.
        pad_width: Images of fewer columns are padded at the right to this many; 0 for none.

    Returns:
        A pipeline from an H x W x 3 uint8 image to a float32 one.
    """
    return A.Compose(_normalize_and_pad(max(pad_height, 1), max(pad_width, 1), mean, std))


def _normalize_and_pad(
    height: int, width: int, mean: Sequence[float], std: Sequence[float]
) -> list[A.BasicTransform]:
    if not len(mean) == len(std) == 3 or min(std) <= 0:
        raise ConfigError(
            f"normalize.mean={list(mean)} and normalize.std={list(std)}",
            "give three numbers each, those of std above 0",
        )
    grey = [(PADDING_GREY / 255 - m) / s for m, s in zip(mean, std, strict=True)]
    return [
        A.Normalize(mean=tuple(mean), std=tuple(std), max_pixel_value=255.0),
        A.PadIfNeeded(
            min_height=height,
            min_width=width,
            position="top_left",
            border_mode=cv2.BORDER_CONSTANT,
            fill=grey,
            fill_mask=IGNORE_INDEX,
        ),
    ]
