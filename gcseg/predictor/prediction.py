"""The prediction of one image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from gcseg.data.label_spaces import LabelSpace
from gcseg.data.reading import UInt8Array
from gcseg.errors import ConfigError
from gcseg.predictor.video import Frame
from gcseg.system.files import atomic_write
from gcseg.visualization.pictures import overlay

KINDS = ("mask", "overlay", "confidence")
"""Pictures that `Prediction.save` writes."""


@dataclass(frozen=True)
class Prediction:
    """Classes of the pixels of an image, and the image itself.

    Attributes:
        name: Name of the image: of a file, its path without suffix.
        image: The image as it is shown, H x W x 3, see `gcseg.data.images.displayed`.
        mask: Class indices, H x W; `classes[mask[y, x]]` is the class of a pixel.
        confidence: Probability of the predicted class, H x W float32 in 0..1; None if it was not
            computed.
        space: Names and colours of the classes.
        label: True class indices, H x W, with 255 ignored; None if they are not known.
        frame: Number and time of a video's frame; None for pictures.
        probabilities: Probabilities of all classes, C x H x W float16; None if they were not asked
            for.
    """

    name: str
    image: UInt8Array
    mask: UInt8Array
    confidence: npt.NDArray[np.float32] | None
    space: LabelSpace
    label: UInt8Array | None = None
    frame: Frame | None = None
    probabilities: npt.NDArray[np.float16] | None = None

    def __repr__(self) -> str:
        """Return the name, the size in pixels, and the largest areas."""
        height, width = self.mask.shape
        areas = [f"{name} {100 * share:.0f} %" for name, share in self.areas().items()]
        return f"Prediction({self.name!r}, {height} x {width}: {', '.join(areas[:3])})"

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the names of all classes, by class index."""
        return self.space.names

    def areas(self) -> dict[str, float]:
        """Return the fraction of the image that each predicted class covers, the largest first."""
        counts = np.bincount(self.mask.ravel(), minlength=self.space.num_classes)
        order = np.argsort(-counts, kind="stable")
        return {self.classes[i]: float(counts[i] / self.mask.size) for i in order if counts[i]}

    def overlay(self, opacity: float = 0.7) -> UInt8Array:
        """Lay the classes' colours over the image.

        Args:
            opacity: Weight of the colours: 0 for the image alone, 1 for the colours alone.

        Returns:
            H x W x 3 RGB.
        """
        return overlay(self.image, self.mask, self.space, opacity)

    def picture(self, kind: str = "mask", values: UInt8Array | None = None) -> Image.Image:
        """Draw the prediction.

        Args:
            kind: `"mask"` for a palette picture of class indices, `"overlay"` for the image under
                the classes' colours, `"confidence"` for a grey picture, 255 for probability 1.
            values: 256 pixel values of a mask by class index; class indices if None.

        Raises:
            ConfigError: There is no such kind.
        """
        if kind == "mask":
            values = np.arange(256, dtype=np.uint8) if values is None else values
            palette = np.zeros((256, 3), np.uint8)
            palette[values[: self.space.num_classes]] = self.space.colors
            mask = Image.fromarray(values[self.mask], "P")
            mask.putpalette(palette.tobytes())
            return mask
        if kind == "overlay":
            return Image.fromarray(self.overlay())
        if kind == "confidence" and self.confidence is not None:
            return Image.fromarray((self.confidence * 255).round().astype(np.uint8))
        raise ConfigError(f"a prediction has no picture {kind!r}", f"use {' or '.join(KINDS)}")

    def save(self, path: str | Path, kind: str = "mask") -> None:
        """Write a picture of the prediction as PNG; folders are made, an interruption leaves none.

        Args:
            path: The file, which ends in `.png`.
            kind: See `picture`.

        Raises:
            ConfigError: The file has another suffix, or there is no such kind.
            OutputError: The file can't be written.
        """
        path = Path(path)
        if path.suffix.lower() != ".png":
            raise ConfigError(
                f"{path} is no name of a PNG, which keeps masks exact", "give a name that ends .png"
            )
        picture = self.picture(kind)
        with atomic_write(path) as file:
            picture.save(file, format="PNG")
