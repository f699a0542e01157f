"""User-defined transforms, which keep the class that the label gives every pixel."""

from __future__ import annotations

import random
import warnings
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import albumentations as A
import numpy as np
import numpy.typing as npt

from gcseg.data.augment import check_window
from gcseg.data.images import RGB, PictureFormat
from gcseg.data.label_spaces import IGNORE_INDEX
from gcseg.data.reading import UInt8Array, count_values
from gcseg.errors import ConfigError, GcsegError, is_out_of_memory

_TRIES = 3


class Extra(A.BaseCompose):  # type: ignore[misc]  # albumentations is untyped
    """Wrapper of a transform of `augment.extra` whose errors name it, also if it spoils labels.

    It draws nothing itself.

    Args:
        name: Its name in the settings.
        transform: Transform that is applied.
        num_classes: Number of classes of the dataset.
        fills: Class indices that it may add, as where a rotation leaves the picture; 255 is
            always allowed.
    """

    def __init__(
        self,
        name: str,
        transform: A.BasicTransform | A.BaseCompose,
        num_classes: int,
        fills: Collection[int] = (),
    ) -> None:
        super().__init__([transform], p=1.0)
        self.name = name
        self.num_classes = num_classes
        self.fills = {IGNORE_INDEX, *fills}

    def __call__(self, *_: Any, force_apply: bool = False, **data: Any) -> dict[str, Any]:
        """Transform `image`, H x W x C, and `mask`, H x W uint8.

        Raises:
            ConfigError: The transform fails, or adds classes that are not in the mask.
        """
        mask = data["mask"]
        (transform,) = self.transforms
        try:
            found: dict[str, Any] = transform(force_apply=force_apply, **data)
        except GcsegError:
            raise
        except Exception as error:  # shown to the transform's author
            if is_out_of_memory(error):
                raise
            height, width = mask.shape
            raise ConfigError(
                f"augment.extra.{self.name} fails on a picture of {height}x{width} with a mask "
                f"({type(error).__name__}: {error})",
                "change its arguments, or leave it out",
            ) from error
        if found["mask"] is not mask:
            self._check(mask, found["mask"])
        return found

    def tried(self, height: int, width: int, pictures: PictureFormat = RGB) -> Extra:
        """Return this transform if it works on a crop.

        Args:
            height: Height of the crop, in pixels.
            width: Width of the crop, in pixels.
            pictures: Form of the images.

        Raises:
            ConfigError: It does not work on a crop.
        """
        only = self.num_classes - 1 if self.num_classes > 1 else IGNORE_INDEX
        for seed in range(_TRIES):
            generator = np.random.default_rng(seed)
            self.set_random_state(generator, random.Random(seed))
            image = generator.integers(0, 256, (height, width, pictures.channels), np.uint8)
            if pictures.scale is not None:
                image = (image / 255).astype(np.float32)
            label = np.full((height, width), only, np.uint8)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = self(force_apply=True, image=image, mask=label)
            check_window(found["image"], height, width, pictures, f"augment.extra.{self.name}")
            if (sizes := (found["image"].shape[:2], found["mask"].shape))[0] != sizes[1]:
                raise ConfigError(
                    f"augment.extra.{self.name} makes a picture of {sizes[0]} with a mask of "
                    f"{sizes[1]} (height, width)",
                    "take one that changes both",
                )
        return self

    def _check(self, before: UInt8Array, after: npt.NDArray[Any]) -> None:
        """Check that labels have only classes of the mask or classes filled in on purpose.

        Raises:
            ConfigError: The labels have other classes, or are not H x W bytes.
        """
        if not isinstance(after, np.ndarray) or after.dtype != np.uint8 or after.ndim != 2:
            raise ConfigError(
                f"augment.extra.{self.name} makes masks of type {type(after).__name__}, not "
                "bytes of height x width",
                "leave it out",
            )
        were, are = (set(np.flatnonzero(count_values(label)).tolist()) for label in (before, after))
        if made := sorted(are - were - self.fills):
            raise ConfigError(
                f"augment.extra.{self.name} labels pixels with {', '.join(map(str, made))}, which "
                "is not a class in the image",
                "give it fill_mask: 255 if it takes that, or leave it out",
            )


def settings_of_labels(name: str, settings: object, num_classes: int) -> set[int]:
    """Return the values with which a transform, or one inside it, fills masks.

    Args:
        name: Its name in the settings.
        settings: Its settings.
        num_classes: Number of classes of the dataset.

    Raises:
        ConfigError: A value is no class, or the transform interpolates between classes.
    """
    fills = set()
    for key, value in _leaves(settings):
        if key == "mask_interpolation" and value not in (None, 0):
            raise ConfigError(
                f"augment.extra.{name}: mask_interpolation={value} "
                "makes up values between two classes",
                "leave it out, or give 0",
            )
        if key == "fill_mask" and value is not None:
            if type(value) is not int or not (0 <= value < num_classes or value == IGNORE_INDEX):
                raise ConfigError(
                    f"augment.extra.{name}: fill_mask={value}",
                    f"give {IGNORE_INDEX}, which is ignored, or a class index up to "
                    f"{num_classes - 1}",
                )
            fills.add(value)
    return fills


def _leaves(settings: object) -> Iterator[tuple[str, Any]]:
    """Yield each setting of a transform, and of those inside it."""
    if isinstance(settings, Mapping):
        for key, value in settings.items():
            yield str(key), value
            yield from _leaves(value)
    elif isinstance(settings, list):
        for one in settings:
            yield from _leaves(one)
