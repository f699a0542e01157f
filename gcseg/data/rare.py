"""Draw images of rare classes more often, place windows on such classes, paste their pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gcseg.data.class_index import ClassIndex
from gcseg.data.images import Picture
from gcseg.data.reading import UInt8Array


def repeat_factors(index: ClassIndex, threshold: float) -> npt.NDArray[np.float64]:
    """Compute how often an epoch draws each image, 1 or more.

    Source: LVIS (Gupta et al., CVPR 2019), section 5.2: the largest over the image's classes of
    max(1, sqrt(threshold / f)), where f is the fraction of images that have the class.

    Args:
        index: Class index of the split.
        threshold: Fraction of images; classes that fewer images have are repeated.
    """
    frequency = index.image_frequency
    occurring = frequency > 0
    of_class = np.ones(len(frequency))
    of_class[occurring] = np.sqrt(threshold / frequency[occurring]).clip(min=1.0)
    present = np.where(index.counts > 0, of_class, 1.0)
    return np.asarray(present.max(axis=1))


@dataclass(frozen=True)
class Donor:
    """Place in a split from which a rare class is taken.

    Args:
        image: Index of the image in the split.
        class_index: Index of the class.
        focus: Row and column of one of its pixels.
    """

    image: int
    class_index: int
    focus: tuple[int, int]


class RareClasses:
    """Chooses rare classes for windows to be placed on and for pixels to be pasted in.

    Source: the choice of classes is DAFormer's rare class sampling (Hoyer et al., CVPR 2022): in
    proportion to exp((1 - f) / temperature), f being the fraction of labelled pixels.

    Args:
        index: Class index of the split.
        crop: Probability that a window is placed on a pixel of a class; the class is chosen among
            those of the image.
        paste: Probability that pixels of a class are pasted in; it is chosen among all classes.
        temperature: Temperature of the choice; lower values prefer rarer classes more.
    """

    def __init__(self, index: ClassIndex, crop: float, paste: float, temperature: float) -> None:
        self.index = index
        self.crop = crop
        self.paste = paste
        self._log_weights = np.where(
            index.pixel_frequency > 0, (1 - index.pixel_frequency) / temperature, -np.inf
        )

    def focus(self, image: int, generator: np.random.Generator) -> tuple[int, int] | None:
        """Draw a pixel (row, column) that the window must contain; None for any window."""
        if generator.random() >= self.crop:
            return None
        present = np.flatnonzero(self.index.counts[image])
        return (
            self._pixel(image, self._choose(present, generator), generator)
            if len(present)
            else None
        )

    def donor(self, generator: np.random.Generator) -> Donor | None:
        """Draw the source of pixels to be pasted; None for no pasting."""
        occurring = np.flatnonzero(np.isfinite(self._log_weights))
        if generator.random() >= self.paste or not len(occurring):
            return None
        chosen = self._choose(occurring, generator)
        image = int(generator.choice(self.index.images_with(chosen)))
        return Donor(image, chosen, self._pixel(image, chosen, generator))

    def _choose(self, classes: npt.NDArray[np.int64], generator: np.random.Generator) -> int:
        log_weights = self._log_weights[classes]
        weights = np.exp(log_weights - log_weights.max())
        return int(generator.choice(classes, p=weights / weights.sum()))

    def _pixel(
        self, image: int, class_index: int, generator: np.random.Generator
    ) -> tuple[int, int]:
        row, column = generator.choice(self.index.positions(image, class_index))
        return int(row), int(column)


def paste(
    class_index: int,
    donor_image: Picture,
    donor_label: UInt8Array,
    image: Picture,
    label: UInt8Array,
) -> tuple[Picture, UInt8Array]:
    """Put the pixels of one class of a window into another, in the same places.

    Source: Ghiasi et al., "Simple Copy-Paste", CVPR 2021, with a class instead of objects.

    Args:
        class_index: Index of the class.
        donor_image: Window that pixels are taken from, h x w x C.
        donor_label: Label of that window, h x w.
        image: Window that receives them, H x W x C; unchanged outside the smaller of the two.
        label: Label of that window, H x W.

    Returns:
        The new image and the new label.
    """
    height, width = np.minimum(label.shape, donor_label.shape)
    taken = donor_label[:height, :width] == class_index
    image, label = image.copy(), label.copy()
    image[:height, :width][taken] = donor_image[:height, :width][taken]
    label[:height, :width][taken] = class_index
    return image, label
