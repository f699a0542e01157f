"""Colour distortions, drawn separately from their application to bytes here or on a device."""

from __future__ import annotations

import random
from typing import Any

import albumentations as A
import cv2
import numpy as np
import numpy.typing as npt

from gcseg.data.reading import UInt8Array
from gcseg.errors import ConfigError

Changes = tuple[tuple[str, float], ...]
"""Kinds and amounts of changes, in the order in which they are applied."""

GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a pixel's grey (ITU-R BT.601)."""


class RandomDistort(A.ImageOnlyTransform):  # type: ignore[misc]  # albumentations is untyped
    """Change brightness, contrast, saturation and hue in random order, equally likely.

    The changes' kinds and amounts are

    - `brightness`: a factor;
    - `contrast`: a factor of the distance from the picture's mean grey;
    - `saturation`: a factor of the distance from the pixel's own grey;
    - `hue`: a turn by degrees that leaves the largest and the smallest channel's values alone.

    Source: PaddleSeg's RandomDistort, whose hue is in Pillow's 256 steps to the circle: its 18 are
    25.3125 degrees.

    Args:
        brightness: Largest relative change.
        contrast: Largest relative change.
        saturation: Largest relative change.
        hue: Largest turn in degrees, 0 to 180.
        probability: Probability of each of the four changes.

    Raises:
        ConfigError: A setting is out of its range.
    """

    def __init__(
        self,
        brightness: float = 0.4,
        contrast: float = 0.4,
        saturation: float = 0.4,
        hue: float = 25.3125,
        probability: float = 0.5,
    ) -> None:
        super().__init__(p=1.0)
        for name, value in (
            ("brightness", brightness),
            ("contrast", contrast),
            ("saturation", saturation),
        ):
            if not value >= 0:  # nor if it is not a number
                raise ConfigError(f"augment.color.{name}={value}", "give 0 or more")
        if not 0 <= hue <= 180:
            raise ConfigError(f"augment.color.hue={hue}", "give 0 to 180 degrees")
        if not 0 <= probability <= 1:
            raise ConfigError(f"augment.color.probability={probability}", "give 0 to 1")
        self.brightness = brightness
        self.contrast = contrast
        self.saturation = saturation
        self.hue = hue
        self.probability = probability

    def draw(self, random: random.Random) -> Changes:
        """Draw the changes; those left out are not in the result."""
        changes = []
        for kind in random.sample(("brightness", "contrast", "saturation", "hue"), 4):
            most = getattr(self, kind)
            if random.random() < self.probability and most:
                least, most = (-most, most) if kind == "hue" else (max(1 - most, 0), 1 + most)
                changes.append((kind, random.uniform(least, most)))
        return tuple(changes)

    def get_params(self) -> dict[str, Any]:
        """Draw the changes."""
        return {"changes": self.draw(self.py_random)}

    def apply(self, img: UInt8Array, *, changes: Changes, **_: Any) -> UInt8Array:
        """Distort an RGB image, H x W x 3.

        Consecutive changes are applied in one pass, and rounded once, if only the last can leave
        0..255.
        """
        pending, may_clip = np.eye(4), False
        for kind, amount in changes:
            if kind == "hue" or may_clip:
                img, pending, may_clip = _transformed(img, pending), np.eye(4), False
            if kind == "hue":
                img = _turned(img, amount)
            else:
                pending = _linear_change(kind, amount, img, pending) @ pending
                may_clip = amount > 1
        return _transformed(img, pending)


def _linear_change(
    kind: str, factor: float, img: UInt8Array, pending: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return a change as a matrix of (red, green, blue, 1), for use after the pending change."""
    change = np.diag((factor, factor, factor, 1.0))
    if kind == "contrast":
        mean = (pending @ (*cv2.mean(img)[:3], 1.0))[:3] @ GREY
        change[:3, 3] = mean * (1 - factor)
    elif kind == "saturation":
        change[:3, :3] += (1 - factor) * np.asarray(GREY)
    return change


def _transformed(img: UInt8Array, matrix: npt.NDArray[np.float64]) -> UInt8Array:
    if (matrix == np.eye(4)).all():
        return img
    return np.asarray(cv2.transform(img, matrix[:3]), np.uint8)


def _turned(img: UInt8Array, degrees: float) -> UInt8Array:
    """Turn the hue, exact except for rounding to bytes.

    Around the circle of hues a channel stays at the pixel's largest value for 120 degrees, falls
    to its smallest over the next 60, stays there and rises. A turn by up to 60 degrees therefore
    moves a channel by at most this share of the span between the two, and only where the other two
    channels are so far apart that the channel is on a slope or reaches one. OpenCV's conversion
    through HSV in bytes takes twice as long and rounds hues to 2 degrees.
    """
    thirds = round(degrees / 120)
    planes = cv2.split(img)
    channels = [planes[(index - thirds) % 3] for index in range(3)]
    share = degrees / 60 - 2 * thirds
    largest = cv2.max(cv2.max(channels[0], channels[1]), channels[2])
    smallest = cv2.min(cv2.min(channels[0], channels[1]), channels[2])
    # OpenCV cuts negative differences off at 0, which the formula needs.
    still = cv2.convertScaleAbs(cv2.subtract(largest, smallest), alpha=1 - abs(share))
    turned = []
    for index in range(3):
        channel, following, preceding = (channels[(index + ahead) % 3] for ahead in range(3))
        if share < 0:
            following, preceding = preceding, following
        falls = cv2.subtract(cv2.subtract(following, preceding), still)
        rises = cv2.subtract(cv2.subtract(preceding, following), still)
        channel = cv2.max(cv2.subtract(channel, falls), smallest)
        turned.append(cv2.min(cv2.add(channel, rises), largest))
    return np.asarray(cv2.merge(turned), np.uint8)


class PhotometricDistortion(A.ImageOnlyTransform):  # type: ignore[misc]
    """Change brightness, then saturation and hue, and contrast before or after these two.

    The changes' kinds and amounts are

    - `levels`: levels to add to 0..255;
    - `gain`: a factor, that of the contrast;
    - `hsv_saturation`: a factor of the saturation in HSV;
    - `hsv_hue`: a turn in steps of 2 degrees.

    Source: mmsegmentation's PhotoMetricDistortion. Saturation and hue are OpenCV's for 8 bits:
    hue in steps of 2 degrees, and each of the two goes through HSV by itself.

    Args:
        brightness: Largest change in levels of 0..255.
        contrast: Largest relative change.
        saturation: Largest relative change.
        hue: Largest shift in degrees, 0 to 180.
        probability: Probability of each of the four changes, independently.

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

    def draw(self, random: random.Random) -> Changes:
        """Draw the changes; those left out are not in the result."""

        def maybe(kind: str, amount: float) -> Changes:
            return ((kind, amount),) if random.random() < self.probability else ()

        steps = int(self.hue / 2)  # of OpenCV's hue; the upper end is never drawn, as in the source
        levels = maybe("levels", random.uniform(-self.brightness, self.brightness))
        contrast_first = random.random() < 0.5
        contrast = maybe("gain", 1 + random.uniform(-self.contrast, self.contrast))
        saturation = maybe("hsv_saturation", 1 + random.uniform(-self.saturation, self.saturation))
        hue = maybe("hsv_hue", random.randrange(-steps, max(steps, 1)))
        if contrast_first:
            return levels + contrast + saturation + hue
        return levels + saturation + hue + contrast

    def get_params(self) -> dict[str, Any]:
        """Draw the changes."""
        return {"changes": self.draw(self.py_random)}

    def apply(self, img: UInt8Array, *, changes: Changes, **_: Any) -> UInt8Array:
        """Distort an RGB image, H x W x 3."""
        bytes_ = np.arange(256, dtype=np.uint8)
        table = bytes_  # of the changes that are still to be applied
        for kind, amount in changes:
            if kind == "levels":
                table = _linear(1.0, amount)[table]
            elif kind == "gain":
                table = _linear(amount)[table]
            else:
                img, table = _looked_up(img, table), bytes_
                channel = ("hsv_hue", "hsv_saturation").index(kind)
                hsv_table = _linear(amount) if channel else _hue_table(int(amount))
                img = _looked_up_in_hsv(img, channel, hsv_table)
        return _looked_up(img, table)


Distortion = RandomDistort | PhotometricDistortion
"""A colour distortion that can also be applied on a device."""


def _linear(factor: float, summand: float = 0.0) -> UInt8Array:
    """Return the new value of each byte, cut to 0..255 and then, as in the source, rounded down."""
    values = np.arange(256, dtype=np.float32) * factor + summand
    return np.asarray(np.clip(values, 0, 255), np.uint8)


def _hue_table(steps: int) -> UInt8Array:
    return ((np.arange(256) + steps) % 180).astype(np.uint8)


def _looked_up(array: UInt8Array, table: UInt8Array) -> UInt8Array:
    if (table == np.arange(256)).all():
        return array
    return np.asarray(cv2.LUT(array, table), np.uint8)


def _looked_up_in_hsv(img: UInt8Array, channel: int, table: UInt8Array) -> UInt8Array:
    hsv = np.asarray(cv2.cvtColor(img, cv2.COLOR_RGB2HSV), np.uint8)
    hsv[..., channel] = cv2.LUT(hsv[..., channel], table)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)
