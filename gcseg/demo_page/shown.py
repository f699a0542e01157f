"""Trained networks of the page, and their predictions of a picture as the browser's data."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from gcseg.data.check.examine import left_out
from gcseg.data.datasets import images_as_dataset
from gcseg.data.images import Picture as Pixels
from gcseg.data.images import PictureFormat, displayed
from gcseg.data.label_spaces import LabelSpace
from gcseg.data.reading import UInt8Array
from gcseg.exports.network import ExportedNetwork
from gcseg.predictor.attention import attention_map, why_no_attention
from gcseg.predictor.network import TrainedNetwork
from gcseg.predictor.stream import Picture, predictions
from gcseg.visualization.attention_pictures import COLORMAP, scale_end

LONGEST = 2048
"""Most pixels of the longer side of what the browser shows; larger pictures are shown reduced."""

_JPEG = 92


@dataclass(frozen=True)
class Shown:
    """A trained network as the page shows it.

    Args:
        title: Name of the checkpoint.
        about: Facts in a few words: its head, backbone and dataset.
        networks: The network by mode of test-time augmentation.
        form: Form of the pictures that it takes.
    """

    title: str
    about: str
    networks: Mapping[str, TrainedNetwork]
    form: PictureFormat

    @property
    def space(self) -> LabelSpace:
        """Return names and colours of the classes."""
        return self._first.space

    @property
    def _first(self) -> TrainedNetwork:
        return next(iter(self.networks.values()))

    def described(self) -> dict[str, Any]:
        """Return what the page says of the network before any picture, as plain values."""
        return {
            "title": self.title,
            "about": self.about,
            "classes": [
                {"name": name, "color": list(color)}
                for name, color in zip(self.space.names, self.space.colors, strict=True)
            ],
            "form": str(self.form),
            "rgb": self.form.is_rgb,
            "no_attention": why_no_attention(self._first),
            "no_confidence": why_no_confidence(self._first),
        }

    def read(self, path: Path) -> Pixels:
        """Read a picture in the network's form, H x W x C.

        Raises:
            DataError: It can't be read, or has another form.
        """
        return images_as_dataset(path, self.space).in_form(self.form).read(0)[0]

    def notes(self, path: Path) -> list[str]:
        """Return what of a picture is not read, a line each."""
        if not self.form.is_usual:
            return []
        found = [message for _, message, _ in left_out(path)]
        if not found and _has_alpha(path):
            found = [f"the transparency of {path} is not read"]
        return found

    def predict(self, path: Path, mode: str) -> Result:
        """Predict a picture in a mode.

        Raises:
            DataError: It can't be read, or has another form.
            WeightsError: The network's scores are NaN or infinite.
            MemoryLimitError: It does not fit into memory.
        """
        start = time.monotonic()
        picture = Picture(path.name, self.read(path))
        (found,) = predictions(self.networks[mode], [lambda: picture])
        counts = np.bincount(found.mask.ravel(), minlength=self.space.num_classes)
        mask = io.BytesIO()
        found.picture("mask").save(mask, format="PNG")
        assert found.confidence is not None
        confidence = (reduced(found.confidence, cv2.INTER_AREA) * 255).round().astype(np.uint8)
        return Result(
            reduced(found.mask, cv2.INTER_NEAREST),
            confidence,
            mask.getvalue(),
            [float(count / found.mask.size) for count in counts],
            time.monotonic() - start,
        )

    def attention(self, path: Path) -> tuple[UInt8Array, float]:
        """Compute the attention map of a picture.

        Returns:
            The map, H x W, reduced like the picture, and the multiple of a uniform map's weight
            that 255 in it stands for.

        Raises:
            ConfigError: The network has none.
            DataError: The picture can't be read, or has another form.
            WeightsError: The weights are NaN or infinite.
            MemoryLimitError: It does not fit into memory.
        """
        weights = attention_map(self._first, self.read(path), path.name)
        end = scale_end(weights)
        small = reduced(weights, cv2.INTER_AREA)
        return (small * (255 / end)).round().clip(0, 255).astype(np.uint8), end


def _has_alpha(path: Path) -> bool:
    """Return whether a picture that can be read has a channel of transparency."""
    try:
        with Image.open(path) as picture:
            return "A" in picture.getbands()
    except Exception:  # a format that Pillow does not know
        return False


def why_no_confidence(network: TrainedNetwork) -> str:
    """Return why nothing is known of a network's confidence; empty if it is known."""
    model = network.model
    if isinstance(model, ExportedNetwork) and model.form.output == "labels":
        return "an export that gives labels says nothing of its confidence"
    return ""


@dataclass(frozen=True)
class Result:
    """A prediction as the browser's data.

    Args:
        mask: Class indices, H x W, reduced to what is shown.
        confidence: Probabilities of the predicted classes, 255 for 1, of the same size.
        file: Class indices at the picture's full size, as a palette PNG.
        areas: Fraction of the picture of each class, by class index.
        seconds: Time to read and predict it.
    """

    mask: UInt8Array
    confidence: UInt8Array
    file: bytes
    areas: list[float]
    seconds: float


def reduced(array: npt.NDArray[Any], interpolation: int) -> npt.NDArray[Any]:
    """Reduce an array, H x W or H x W x 3, to at most `LONGEST` pixels of the longer side."""
    height, width = array.shape[:2]
    scale = LONGEST / max(height, width)
    if scale >= 1:
        return array
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(array, size, interpolation=interpolation))


def as_jpeg(image: Pixels) -> tuple[bytes, int, int]:
    """Encode a picture, H x W x C, for the browser; return its height and width as shown, too."""
    small = reduced(displayed(image), cv2.INTER_AREA)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(small)).save(file, "JPEG", quality=_JPEG)
    return file.getvalue(), small.shape[0], small.shape[1]


def scale_colors() -> list[list[int]]:
    """Return the 256 colours of maps, RGB, from the smallest value to the largest."""
    levels = np.arange(256, dtype=np.uint8)[None]
    found: list[list[int]] = cv2.applyColorMap(levels, COLORMAP)[0, :, ::-1].tolist()
    return found
