"""Training augmentation and evaluation preprocessing, as albumentations pipelines."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # importing it would ask an index

import albumentations as A
import cv2
import numpy as np

from gcseg.data.label_spaces import IGNORE_INDEX
from gcseg.data.reading import UInt8Array
from gcseg.errors import ConfigError
from gcseg.inference import Fit, scaled_size

PADDING_GREY = 127.5
"""Grey level of padding, 0..255 before normalisation, as PaddleSeg pads."""

MAX_REDRAWS = 10
"""How often a window that one class dominates is drawn again, as mmsegmentation's RandomCrop."""


class RandomScaledCrop(A.DualTransform):  # type: ignore[misc]  # albumentations is untyped
    """Resize by a random factor, then take a random window.

    Source: PaddleSeg's ResizeStepScaling and the cropping half of RandomPaddingCrop; with `fit` and
    `cat_max_ratio` mmsegmentation's Resize and RandomCrop. An image smaller than the window in a
    direction is taken whole in it; padding comes after normalisation, where its colour is exact.

    Args:
        height: Window height in pixels.
        width: Window width in pixels.
        scale_min: Smallest factor.
        scale_max: Largest factor.
        scale_step: Distance of the factors that are drawn; 0 draws from the whole range.
        fit: The factor is of this rectangle, and the image is resized to fit into it; None: the
            factor is of the image.
        cat_max_ratio: A window is drawn again, at most 10 times, if only one class is labelled in
            it or one has at least this fraction of the labelled pixels; 1 takes any window.
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
        fit: Fit | None = None,
        cat_max_ratio: float = 1.0,
        p: float = 1.0,
    ) -> None:
        super().__init__(p=p)
        self.height = height
        self.width = width
        self.scale_min = scale_min
        self.scale_max = scale_max
        self.scale_step = scale_step
        self.fit = fit
        self.cat_max_ratio = cat_max_ratio

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, int]:
        """Draw the scaled size and the window in it, in pixels."""
        height, width = params["shape"][:2]
        height, width = scaled_size(height, width, self._draw_scale(), self.fit)
        top, left = self._draw_corner(height, width)
        if self.cat_max_ratio < 1:
            label = _resize(data["mask"], height, width, cv2.INTER_NEAREST)
            for _ in range(MAX_REDRAWS):
                if self._is_mixed(label[top : top + self.height, left : left + self.width]):
                    break
                top, left = self._draw_corner(height, width)
        return {"scaled_height": height, "scaled_width": width, "top": top, "left": left}

    def _draw_scale(self) -> float:
        if not self.scale_step:
            return float(self.py_random.uniform(self.scale_min, self.scale_max))
        steps = int((self.scale_max - self.scale_min) / self.scale_step + 1e-6)
        return self.scale_min + self.scale_step * int(self.py_random.randint(0, steps))

    def _draw_corner(self, height: int, width: int) -> tuple[int, int]:
        top = self.py_random.randint(0, max(height - self.height, 0))
        return top, self.py_random.randint(0, max(width - self.width, 0))

    def _is_mixed(self, label: UInt8Array) -> bool:
        pixels = np.bincount(label.ravel(), minlength=256)[:IGNORE_INDEX]
        several = np.count_nonzero(pixels) > 1
        return bool(several and pixels.max() / pixels.sum() < self.cat_max_ratio)

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
        array = _resize(array, scaled_height, scaled_width, interpolation)
        return array[top : top + self.height, left : left + self.width]


def _resize(array: UInt8Array, height: int, width: int, interpolation: int) -> UInt8Array:
    if array.shape[:2] == (height, width):
        return array
    return np.asarray(cv2.resize(array, (width, height), interpolation=interpolation), np.uint8)


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


class PhotometricDistortion(A.ImageOnlyTransform):  # type: ignore[misc]
    """Change brightness, then saturation and hue, and contrast before or after these two.

    Source: mmsegmentation's PhotoMetricDistortion. Saturation and hue are OpenCV's for 8 bits:
    hue in steps of 2 degrees, and each of the two goes through HSV by itself.

    Args:
        brightness: Largest change in levels of 0..255.
        contrast: Largest relative change.
        saturation: Largest relative change.
        hue: Largest shift in degrees, 0 to 180.
        probability: Of each of the four, independently.

    Raises:
        ConfigError: A setting is out of its range.
    """

    def __init__(
        self,
        brightness: float = 32,
        contrast: float = 0.5,
        saturation: float = 0.5,
        hue: float = 36,
        probability: float = 0.5,
    ) -> None:
        super().__init__(p=1.0)
        for name, value, most in (
            ("brightness", brightness, 255),
            ("contrast", contrast, 1),
            ("saturation", saturation, 1),
            ("hue", hue, 180),
            ("probability", probability, 1),
        ):
            if not 0 <= value <= most:
                raise ConfigError(f"augment.color.{name}={value}", f"give 0 to {most}")
        self.brightness = brightness
        self.contrast = contrast
        self.saturation = saturation
        self.hue = hue
        self.probability = probability

    def get_params(self) -> dict[str, Any]:
        """Draw the changes, None for those that are left out."""
        draw = self.py_random
        steps = int(self.hue / 2)  # of OpenCV's hue; the upper end is never drawn, as in the source
        return {
            "summand": self._maybe(draw.uniform(-self.brightness, self.brightness)),
            "contrast_first": draw.random() < 0.5,
            "contrast_factor": self._maybe(1 + draw.uniform(-self.contrast, self.contrast)),
            "saturation_factor": self._maybe(1 + draw.uniform(-self.saturation, self.saturation)),
            "hue_steps": self._maybe(draw.randrange(-steps, max(steps, 1))),
        }

    def _maybe(self, value: float) -> float | None:
        return value if self.py_random.random() < self.probability else None

    def apply(
        self,
        img: UInt8Array,
        *,
        summand: float | None,
        contrast_first: bool,
        contrast_factor: float | None,
        saturation_factor: float | None,
        hue_steps: int | None,
        **_: Any,
    ) -> UInt8Array:
        """Distort an RGB image, H x W x 3."""
        if summand is not None:
            img = _look_up(img, _linear(1.0, summand))
        if contrast_factor is not None and contrast_first:
            img = _look_up(img, _linear(contrast_factor))
        if saturation_factor is not None:
            img = _look_up_in_hsv(img, 1, _linear(saturation_factor))
        if hue_steps is not None:
            img = _look_up_in_hsv(img, 0, ((np.arange(256) + hue_steps) % 180).astype(np.uint8))
        if contrast_factor is not None and not contrast_first:
            img = _look_up(img, _linear(contrast_factor))
        return img


def _linear(factor: float, summand: float = 0.0) -> UInt8Array:
    """What becomes of each byte, cut to 0..255 and then, as in the source, rounded down."""
    values = np.arange(256, dtype=np.float32) * factor + summand
    return np.asarray(np.clip(values, 0, 255), np.uint8)


def _look_up(array: UInt8Array, table: UInt8Array) -> UInt8Array:
    return np.asarray(cv2.LUT(array, table), np.uint8)


def _look_up_in_hsv(img: UInt8Array, channel: int, table: UInt8Array) -> UInt8Array:
    hsv = np.asarray(cv2.cvtColor(img, cv2.COLOR_RGB2HSV), np.uint8)
    hsv[..., channel] = _look_up(hsv[..., channel], table)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)


def training_pipeline(
    *,
    height: int,
    width: int,
    mean: Sequence[float],
    std: Sequence[float],
    scale: Mapping[str, Any],
    color: A.BasicTransform | A.BaseCompose | None,
    flip: float,
    cat_max_ratio: float = 1.0,
    padding: str = "grey",
    pad_before_flip: bool = True,
    extra: Iterable[A.BasicTransform] = (),
) -> A.Compose:
    """Scale and crop, colours, normalisation, padding at the bottom and right, mirroring.

    The label of padding is 255.

    Args:
        height: Crop height in pixels.
        width: Crop width in pixels.
        mean: Mean per channel of values in 0..1.
        std: Standard deviation per channel of values in 0..1.
        scale: `min`, `max` and `step` of the random scale and, as wanted, `fit`, as
            `RandomScaledCrop` takes them.
        color: A transform of the colours of uint8 images, None for none.
        flip: Probability of mirroring.
        cat_max_ratio: Of the labelled pixels of a crop, as `RandomScaledCrop` takes it.
        padding: grey (127.5) or mean (0 after normalisation).
        pad_before_flip: Whether padding is mirrored with the image, to its left.
        extra: Transforms of your own, applied to the uint8 crop before the colour distortion.

    Returns:
        A pipeline from an H x W x 3 uint8 image and an H x W uint8 mask to a
        height x width x 3 float32 image and a height x width mask.

    Raises:
        ConfigError: A setting is out of its range.
    """
    if not 0 < scale["min"] <= scale["max"]:
        raise ConfigError(
            f"augment.scale from {scale['min']} to {scale['max']}", "give 0 < min <= max"
        )
    if scale["step"] < 0:
        raise ConfigError(f"augment.scale.step={scale['step']}", "give 0 or more")
    if not 0 < cat_max_ratio <= 1:
        raise ConfigError(
            f"augment.cat_max_ratio={cat_max_ratio}", "give a fraction above 0, 1 for any crop"
        )
    crop = RandomScaledCrop(
        height,
        width,
        scale["min"],
        scale["max"],
        scale["step"],
        fit=scale.get("fit"),
        cat_max_ratio=cat_max_ratio,
    )
    colors = [] if color is None else [color]
    normalize, pad = _normalize_and_pad(height, width, mean, std, padding)
    mirror = A.HorizontalFlip(p=flip)
    ending = [pad, mirror] if pad_before_flip else [mirror, pad]
    return A.Compose([crop, *extra, *colors, normalize, *ending])


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
    return A.Compose([*_normalize_and_pad(max(pad_height, 1), max(pad_width, 1), mean, std)])


def _normalize_and_pad(
    height: int, width: int, mean: Sequence[float], std: Sequence[float], padding: str = "grey"
) -> tuple[A.BasicTransform, A.BasicTransform]:
    if not len(mean) == len(std) == 3 or min(std) <= 0:
        raise ConfigError(
            f"normalize.mean={list(mean)} and normalize.std={list(std)}",
            "give three numbers each, those of std above 0",
        )
    if padding not in ("grey", "mean"):
        raise ConfigError(f"augment.padding={padding}", "use grey or mean")
    grey = [(PADDING_GREY / 255 - m) / s for m, s in zip(mean, std, strict=True)]
    return (
        A.Normalize(mean=tuple(mean), std=tuple(std), max_pixel_value=255.0),
        A.PadIfNeeded(
            min_height=height,
            min_width=width,
            position="top_left",
            border_mode=cv2.BORDER_CONSTANT,
            fill=grey if padding == "grey" else 0.0,
            fill_mask=IGNORE_INDEX,
        ),
    )
