"""Training augmentation and evaluation preprocessing, as albumentations pipelines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import albumentations as A
import cv2
import numpy as np
import numpy.typing as npt

from gcseg.data.colors import Distortion
from gcseg.data.crop import KeepsViews, RandomScaledCrop
from gcseg.data.device import DeviceAugmentation
from gcseg.data.images import RGB, Picture, PictureFormat
from gcseg.data.label_spaces import IGNORE_INDEX
from gcseg.data.reading import UInt8Array
from gcseg.errors import ConfigError

PADDING_GREY = 127.5
"""Grey level of padding, 0..255 before normalisation, as in PaddleSeg."""


@dataclass(frozen=True)
class TrainingPipeline:
    """The parts of the training augmentation.

    Args:
        crop: Maps `image`, H x W x C, and `mask`, H x W uint8, to a scaled window of them,
            smaller than the crop where the scaled image is. Takes `focus` like `RandomScaledCrop`.
        finish: Maps such a window to a height x width x C float32 image and a height x width mask;
            with a device, only the user-defined transforms.
        device: Augmentation that is left to a device; None for nothing.
    """

    crop: A.Compose
    finish: A.Compose
    device: DeviceAugmentation | None = None


def check_window(
    image: npt.NDArray[Any],
    height: int,
    width: int,
    pictures: PictureFormat = RGB,
    name: str = "augment.extra",
) -> None:
    """Check the output of user-defined transforms of a crop.

    Args:
        image: Transformed crop, h x w x C.
        height: Largest number of rows.
        width: Largest number of columns.
        pictures: Form that the image should have.
        name: Setting of the transforms, for messages.

    Raises:
        ConfigError: The image is larger, or no longer of that form.
    """
    channels, dtype = pictures.channels, pictures.dtype
    right = image.ndim == 3 and image.shape[2] == channels
    if image.dtype != dtype or image.shape[0] > height or image.shape[1] > width or not right:
        others = "" if right else f" without {'three' if channels == 3 else channels} channels"
        raise ConfigError(
            f"{name} makes {image.dtype} pictures of {image.shape[0]}x{image.shape[1]}{others}",
            f"leave them {dtype}, and at most {height}x{width} (height x width) as the crop is",
        )


class NormalizePadFlip(KeepsViews):
    """Normalise, pad at the bottom and right to a size, and mirror at random.

    The same as A.Normalize, A.PadIfNeeded and A.HorizontalFlip in a third of their time. The image
    is laid out in memory as C x height x width, as networks take it.

    Args:
        height: Height of the result, in pixels.
        width: Width of the result, in pixels.
        mean: Mean per channel of values in 0..1.
        std: Standard deviation per channel of values in 0..1.
        fill: Padding per channel after normalisation.
        flip: Probability of mirroring.
        pad_before_flip: Whether padding is mirrored with the image, to its left.
        pictures: Form of the images.
    """

    _targets = (A.core.type_definitions.Targets.IMAGE, A.core.type_definitions.Targets.MASK)

    def __init__(
        self,
        height: int,
        width: int,
        mean: Sequence[float],
        std: Sequence[float],
        fill: Sequence[float],
        flip: float,
        pad_before_flip: bool,
        pictures: PictureFormat = RGB,
    ) -> None:
        super().__init__(p=1.0)
        self.pictures = pictures
        self.height = height
        self.width = width
        self.mean = mean
        self.std = std
        self.fill = fill
        self.flip = flip
        self.pad_before_flip = pad_before_flip

    def get_params(self) -> dict[str, Any]:
        """Draw whether to mirror."""
        return {"mirrored": self.py_random.random() < self.flip}

    def apply(self, img: Picture, *, mirrored: bool, **_: Any) -> npt.NDArray[np.float32]:
        """Finish an image, h x w x C.

        Raises:
            ConfigError: The image is larger than the result, or not of the form.
        """
        check_window(img, self.height, self.width, self.pictures)
        full, size = self.pictures.full, (self.height, self.width)
        planes: npt.NDArray[np.float32] = np.empty((img.shape[2], *size), np.float32)
        columns = self._columns(img, mirrored)
        for index, channel in enumerate(cv2.split(img)):
            plane = planes[index]
            plane[img.shape[0] :] = self.fill[index]
            plane[:, : columns.start] = self.fill[index]
            plane[:, columns.stop :] = self.fill[index]
            inside = plane[: img.shape[0], columns]
            inside[...] = cv2.flip(channel, 1) if mirrored else channel
            inside -= full * self.mean[index]
            inside *= 1 / (full * self.std[index])
        return np.moveaxis(planes, 0, -1)

    def apply_to_mask(self, mask: UInt8Array, *, mirrored: bool, **_: Any) -> UInt8Array:
        """Pad and mirror a label, h x w."""
        if mirrored:
            mask = np.asarray(cv2.flip(mask, 1), np.uint8)
        size = (self.height, self.width)
        if mask.shape == size:
            return np.ascontiguousarray(mask)
        padded = np.full(size, IGNORE_INDEX, np.uint8)
        padded[: mask.shape[0], self._columns(mask, mirrored)] = mask
        return padded

    def _columns(self, array: Picture, mirrored: bool) -> slice:
        left = self.width - array.shape[1] if mirrored and self.pad_before_flip else 0
        return slice(left, left + array.shape[1])


class Pad(A.ImageOnlyTransform):  # type: ignore[misc]
    """Pad an image at the bottom and right to a smallest size.

    A.PadIfNeeded takes at most four channels.

    Args:
        height: Smallest height, in pixels.
        width: Smallest width, in pixels.
        fill: Padding per channel.
    """

    def __init__(self, height: int, width: int, fill: Sequence[float]) -> None:
        super().__init__(p=1.0)
        self.height = height
        self.width = width
        self.fill = fill

    def apply(self, img: npt.NDArray[np.float32], **_: Any) -> npt.NDArray[np.float32]:
        """Pad an image, h x w x C."""
        height, width, channels = img.shape
        if height >= self.height and width >= self.width:
            return img
        size = (max(height, self.height), max(width, self.width), channels)
        padded: npt.NDArray[np.float32] = np.empty(size, np.float32)
        padded[:height, :width] = img
        padded[height:] = self.fill
        padded[:height, width:] = self.fill
        return padded


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
    on_device: bool = False,
    pictures: PictureFormat = RGB,
) -> TrainingPipeline:
    """Build the pipeline: scale and crop, colours, normalisation, padding, mirroring.

    Padding is at the bottom and right; its label is 255.

    Args:
        height: Crop height in pixels.
        width: Crop width in pixels.
        mean: Mean per channel of values in 0..1.
        std: Standard deviation per channel of values in 0..1.
        scale: `min`, `max` and `step` of the random scale and, optionally, `fit`, as
            `RandomScaledCrop` takes them.
        color: Transform of the colours of uint8 images; None for none.
        flip: Probability of mirroring.
        cat_max_ratio: Largest fraction of one class in a crop, see `RandomScaledCrop`.
        padding: grey (127.5) or mean (0 after normalisation).
        pad_before_flip: Whether padding is mirrored with the image, to its left.
        extra: User-defined transforms, applied to the crop before the colour distortion.
        on_device: Whether all later steps are left to a device.
        pictures: Form of the images.

    Raises:
        ConfigError: A setting is out of its range, or a device can't apply the colour transform.
    """
    _check_crop(scale, cat_max_ratio)
    crop = RandomScaledCrop(
        height,
        width,
        scale["min"],
        scale["max"],
        scale["step"],
        fit=scale.get("fit"),
        cat_max_ratio=cat_max_ratio,
    )
    fill = _fill(mean, std, padding, pictures.channels)
    if not on_device:
        colors = [] if color is None else [color]
        ending = NormalizePadFlip(height, width, mean, std, fill, flip, pad_before_flip, pictures)
        return TrainingPipeline(A.Compose([crop]), A.Compose([*extra, *colors, ending]))
    if not isinstance(color, Distortion | None):
        raise ConfigError(
            f"augment_on=device can't apply {type(color).__name__}",
            "choose one of gcseg.data.colors, augment.color=null or augment_on=cpu",
        )
    device = DeviceAugmentation(
        height,
        width,
        tuple(mean),
        tuple(std),
        tuple(fill),
        color,
        flip,
        pad_before_flip,
        pictures,
    )
    return TrainingPipeline(A.Compose([crop]), A.Compose([*extra]), device)


def _check_crop(scale: Mapping[str, Any], cat_max_ratio: float) -> None:
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


def evaluation_pipeline(
    *,
    mean: Sequence[float],
    std: Sequence[float],
    pad_height: int,
    pad_width: int,
    pictures: PictureFormat = RGB,
) -> A.Compose:
    """Build the normalisation and padding for evaluation at native size.

    Args:
        mean: Mean per channel of values in 0..1.
        std: Standard deviation per channel of values in 0..1.
        pad_height: Images of fewer rows are padded at the bottom to this many; 0 for none.
        pad_width: Images of fewer columns are padded at the right to this many; 0 for none.
        pictures: Form of the images.

    Returns:
        A pipeline from an H x W x C image of that form to a float32 one.
    """
    return A.Compose(
        [
            A.Normalize(mean=tuple(mean), std=tuple(std), max_pixel_value=float(pictures.full)),
            Pad(pad_height, pad_width, _fill(mean, std, "grey", pictures.channels)),
        ]
    )


def _fill(mean: Sequence[float], std: Sequence[float], padding: str, channels: int) -> list[float]:
    """Return the colour of padding after normalisation."""
    if not len(mean) == len(std) == channels or min(std) <= 0:
        raise ConfigError(
            f"normalize.mean={list(mean)} and normalize.std={list(std)}",
            f"give {'three' if channels == 3 else channels} numbers each, those of std above 0, as "
            "python -m gcseg.data stats prints them",
        )
    if padding not in ("grey", "mean"):
        raise ConfigError(f"augment.padding={padding}", "use grey or mean")
    if padding == "mean":
        return [0.0] * channels
    return [(PADDING_GREY / 255 - m) / s for m, s in zip(mean, std, strict=True)]
