"""What an evaluation knows beside its confusion matrix: each image, boundaries, calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gcseg.data.label_spaces import IGNORE_INDEX
from gcseg.metrics.boundary import boundary_areas, boundary_distance
from gcseg.metrics.calibration import Calibration


@dataclass(frozen=True)
class Counts:
    """What was counted of a split, or of a part of it, under one mode.

    Args:
        indices: N int64, the images' places in the split.
        areas: N x 3 x C int64: pixels of the intersection, predicted, and labelled, by class.
        boundaries: N x 3 x C int64: the same of the pixels on boundaries alone.
        calibration: 3 x bins float64, see `gcseg.metrics.calibration.Calibration`.
    """

    indices: Tensor
    areas: Tensor
    boundaries: Tensor
    calibration: Tensor


class Analysis:
    """Counts an evaluation image by image, under one mode of test-time augmentation.

    Args:
        num_classes: C.
    """

    def __init__(self, num_classes: int) -> None:
        self._num_classes = num_classes
        self._indices: list[int] = []
        self._areas: list[Tensor] = []
        self._boundaries: list[Tensor] = []
        self._calibration = Calibration()

    def update(self, index: int, predicted: Tensor, label: Tensor, confidence: Tensor) -> None:
        """Count an image.

        Args:
            index: Its place in the split.
            predicted: H x W class indices.
            label: H x W class indices; 255 is left out.
            confidence: H x W, the predicted classes' probabilities.
        """
        counted = label != IGNORE_INDEX
        distance = boundary_distance(label.shape[0], label.shape[1])
        boundaries = boundary_areas(label, predicted, self._num_classes, distance)
        self._indices.append(index)
        self._areas.append(areas(predicted[counted], label[counted], self._num_classes).cpu())
        self._boundaries.append(boundaries.cpu())
        self._calibration.update(confidence, predicted == label, counted)

    @property
    def counts(self) -> Counts:
        """What was counted so far, on the CPU."""
        none = torch.zeros(0, 3, self._num_classes, dtype=torch.int64)
        return Counts(
            torch.tensor(self._indices, dtype=torch.int64),
            torch.stack(self._areas) if self._areas else none,
            torch.stack(self._boundaries) if self._boundaries else none,
            self._calibration.state.cpu(),
        )


def merged(parts: Sequence[Counts]) -> Counts:
    """The parts of a split together, in the split's order."""
    indices = torch.cat([part.indices for part in parts])
    order = indices.argsort()
    return Counts(
        indices[order],
        torch.cat([part.areas for part in parts])[order],
        torch.cat([part.boundaries for part in parts])[order],
        torch.stack([part.calibration for part in parts]).sum(0),
    )


def areas(predicted: Tensor, label: Tensor, num_classes: int) -> Tensor:
    """Pixels by class, 3 x C int64: of the intersection, predicted, and labelled.

    Args:
        predicted: M class indices.
        label: M class indices, none of them ignored.
        num_classes: C.
    """
    predicted, label = predicted.long(), label.long()
    parts = (label[predicted == label], predicted, label)
    return torch.stack([torch.bincount(part, minlength=num_classes) for part in parts])
