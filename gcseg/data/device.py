"""The last steps of the training augmentation, for batches on a device."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gcseg.data.colors import GREY, Changes, Distortion
from gcseg.data.images import RGB, PictureFormat
from gcseg.data.label_spaces import IGNORE_INDEX


@dataclass(frozen=True)
class DeviceAugmentation:
    """Apply colours, normalisation, padding and mirroring to a batch, as the CPU would.

    Drawn values and sizes are plain numbers, so nothing waits for the device. With the same draws,
    the values of street photographs differ from the CPU's by 0.2 levels of 0..255 on average and 3
    at most for `RandomDistort`, and 0.3 and 5 for `PhotometricDistortion`: the CPU rounds to bytes
    between the changes, and in HSV rounds hues to 2 degrees; the device does not round.

    Args:
        height: Height of the batch, in pixels.
        width: Width of the batch, in pixels.
        mean: Mean per channel of values in 0..1.
        std: Standard deviation per channel of values in 0..1.
        fill: Padding per channel after normalisation.
        color: Distortion of the colours; None for none.
        flip: Probability of mirroring.
        pad_before_flip: Whether padding is mirrored with the image, to its left.
        pictures: Form of the images.
    """

    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fill: tuple[float, ...]
    color: Distortion | None
    flip: float
    pad_before_flip: bool
    pictures: PictureFormat = RGB

    def draw(self, random: random.Random) -> dict[str, Any]:
        """Draw the changes of a picture, in the order of the CPU's pipeline.

        Returns:
            `changes` of the colours, and `mirrored`, whether to mirror.
        """
        changes = self.color.draw(random) if self.color else ()
        return {"changes": changes, "mirrored": random.random() < self.flip}

    @torch.no_grad()
    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Finish a batch.

        Args:
            batch: `image`, N x height x width x C, and `label`, N x height x width uint8,
                padded at the bottom and right with any values; `height` and `width`, N each, of the
                parts that are not padding, as numbers or CPU tensors, read without waiting
                for a GPU; `augmentation`, N results of `draw`.

        Returns:
            `image`, N x C x height x width float32; `label`, N x height x width uint8, 255 where
            padded; and the other entries of the batch, without sizes and draws.
        """
        sources, source_labels = batch["image"], batch["label"]
        images = torch.empty(
            (len(sources), sources.shape[3], *sources.shape[1:3]),
            dtype=torch.float32,
            device=sources.device,
        )
        labels = torch.full_like(source_labels, IGNORE_INDEX)
        finished = {**batch, "image": images, "label": labels}
        draws = zip(
            *(finished.pop(key) for key in ("height", "width", "augmentation")), strict=True
        )
        for index, (height, width, drawn) in enumerate(draws):
            self._finish(
                sources[index, : int(height), : int(width)],
                source_labels[index, : int(height), : int(width)],
                images[index],
                labels[index],
                **drawn,
            )
        return finished

    def _finish(
        self,
        source: Tensor,
        source_label: Tensor,
        image: Tensor,
        label: Tensor,
        *,
        changes: Changes,
        mirrored: bool,
    ) -> None:
        """Finish a picture without padding, h x w x C, as a whole image, C x height x width."""
        height, width = source_label.shape
        left = label.shape[1] - width if mirrored and self.pad_before_flip else 0
        if mirrored:
            source, source_label = source.flip(1), source_label.flip(1)
        label[:height, left : left + width] = source_label
        picture = image[:, :height, left : left + width]
        picture.copy_(source.permute(2, 0, 1))
        for kind, amount in changes:
            CHANGES[kind](picture, amount)
        full = self.pictures.full
        for channel, mean, std in zip(picture, self.mean, self.std, strict=True):
            channel.sub_(full * mean).mul_(1 / (full * std))
        for channel, fill in zip(image, self.fill, strict=True):
            channel[height:] = fill
            channel[:height, :left] = fill
            channel[:height, left + width :] = fill


def _brightness(picture: Tensor, factor: float) -> None:
    picture.mul_(factor).clamp_(0, 255)


def _contrast(picture: Tensor, factor: float) -> None:
    mean = _grey(picture.mean(dim=(1, 2)))
    picture.mul_(factor).add_(mean, alpha=1 - factor).clamp_(0, 255)


def _saturation(picture: Tensor, factor: float) -> None:
    grey = _grey(picture)
    picture.mul_(factor).add_(grey, alpha=1 - factor).clamp_(0, 255)


def _grey(picture: Tensor) -> Tensor:
    red, green, blue = picture
    grey: Tensor = GREY[0] * red
    return grey.add_(green, alpha=GREY[1]).add_(blue, alpha=GREY[2])


def _hue(picture: Tensor, degrees: float) -> None:
    """Turn the hue; `gcseg.data.colors` explains the formula."""
    thirds = round(degrees / 120)
    share = degrees / 60 - 2 * thirds
    smallest, largest = picture.aminmax(dim=0)
    still = (largest - smallest) * (1 - abs(share))
    channels = picture.roll(thirds, dims=0)
    for channel in range(3):
        ahead = channels[(channel + 1) % 3] - channels[(channel + 2) % 3]
        falls = ahead if share > 0 else -ahead
        moved = channels[channel] - (falls - still).clamp_(min=0)
        moved += (-falls - still).clamp_(min=0)
        torch.clamp(moved, smallest, largest, out=picture[channel])


def _levels(picture: Tensor, summand: float) -> None:
    picture.add_(summand).clamp_(0, 255).floor_()


def _gain(picture: Tensor, factor: float) -> None:
    picture.mul_(factor).clamp_(0, 255).floor_()


def _hsv_saturation(picture: Tensor, factor: float) -> None:
    smallest, largest = picture.aminmax(dim=0)
    span = largest - smallest
    wider = (span * factor).minimum(largest).div_(span.clamp(min=1e-3))
    picture.sub_(largest).mul_(wider).add_(largest)


def _hsv_hue(picture: Tensor, steps: float) -> None:
    _hue(picture, 2 * steps)


CHANGES: dict[str, Callable[[Tensor, float], None]] = {
    "brightness": _brightness,
    "contrast": _contrast,
    "saturation": _saturation,
    "hue": _hue,
    "levels": _levels,
    "gain": _gain,
    "hsv_saturation": _hsv_saturation,
    "hsv_hue": _hsv_hue,
}
"""Functions that change a picture, 3 x h x w of 0..255, in place by an amount."""
