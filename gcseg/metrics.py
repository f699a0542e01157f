"""Scores from a confusion matrix of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Scores:
    """What a confusion matrix says; fractions in 0..1.

    Args:
        miou: Mean IoU over the classes that occur.
        pixel_accuracy: Share of the labelled pixels that are right.
        class_iou: IoU by class name; None for a class in neither labels nor predictions.
    """

    miou: float
    pixel_accuracy: float
    class_iou: dict[str, float | None]


def scores(confusion: Tensor, names: Sequence[str]) -> Scores:
    """Compute the scores of a split from its confusion matrix.

    Args:
        confusion: C x C integer counts of pixels, rows true classes, columns predicted ones.
        names: The C class names.

    Returns:
        The scores, in double precision; a class in neither labels nor predictions has no IoU
        and is left out of the mean. With no labelled pixel at all, mIoU and accuracy are 0.
    """
    areas = torch.stack([confusion.diagonal(), confusion.sum(0), confusion.sum(1)])
    return area_scores(areas, names)


def area_scores(areas: Tensor, names: Sequence[str]) -> Scores:
    """Compute scores from what a confusion matrix has of each class.

    Args:
        areas: 3 x C integer counts of pixels: of the intersection, predicted, and labelled.
        names: The C class names.

    Returns:
        As `scores`.
    """
    hits, predicted, labelled = areas.double().cpu()
    unions = predicted + labelled - hits
    ious = [
        hit / union if union else None
        for hit, union in zip(hits.tolist(), unions.tolist(), strict=True)
    ]
    occurring = [iou for iou in ious if iou is not None]
    return Scores(
        miou=sum(occurring) / max(len(occurring), 1),
        pixel_accuracy=hits.sum().item() / max(labelled.sum().item(), 1.0),
        class_iou=dict(zip(names, ious, strict=True)),
    )
