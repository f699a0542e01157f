"""Counts of an evaluation besides its confusion matrix: each image, boundaries, calibration."""

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
    """Counts of a split, or of a part of it, under one mode of test-time augmentation.

    Args:
        indices: Indices of the images in the split, N int64.
        areas: Pixels of the intersection, predicted, and labelled, by class, N x 3 x C int64.
        boundaries: The same counts of only the pixels on boundaries, N x 3 x C int64.
        calibration: State of a `gcseg.metrics.calibration.Calibration`, 3 x bins float64.
    """

    indices: Tensor
    areas: Tensor
    boundaries: Tensor
    calibration: Tensor


class Analysis:
    """Image-by-image counts of an evaluation under one mode of test-time augmentation.

    Args:
        num_classes: Number of classes C.
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
            index: Index of the image in the split.
            predicted: Class indices of the prediction, H x W.
            label: Class indices of the label, H x W; 255 is ignored.
            confidence: Probabilities of the predicted classes, H x W.
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
        """Return the counts so far, on the CPU."""
        none = torch.zeros(0, 3, self._num_classes, dtype=torch.int64)
        return Counts(
            torch.tensor(self._indices, dtype=torch.int64),
            torch.stack(self._areas) if self._areas else none,
            torch.stack(self._boundaries) if self._boundaries else none,
            self._calibration.state.cpu(),
        )


def merged(parts: Sequence[Counts]) -> Counts:
    """Merge the counts of the parts of a split, in the split's order."""
    indices = torch.cat([part.indices for part in parts])
    order = indices.argsort()
    return Counts(
        indices[order],
        torch.cat([part.areas for part in parts])[order],
        torch.cat([part.boundaries for part in parts])[order],
        torch.stack([part.calibration for part in parts]).sum(0),
    )


def areas(predicted: Tensor, label: Tensor, num_classes: int) -> Tensor:
    """Count pixels by class, 3 x C int64: of the intersection, predicted, and labelled.

    Args:
        predicted: Class indices of M pixels of the prediction.
        label: Class indices of the same M pixels of the label, none of them ignored.
        num_classes: Number of classes C.
    """
    predicted, label = predicted.long(), label.long()
    parts = (label[predicted == label], predicted, label)
    return torch.stack([torch.bincount(part, minlength=num_classes) for part in parts])
