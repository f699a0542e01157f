"""Scores from a confusion matrix of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Scores:
    """Scores of a confusion matrix, as fractions in 0..1.

    Args:
        miou: Mean IoU over the classes that occur; None if no pixel is labelled.
        pixel_accuracy: Share of the labelled pixels that are correct; None if there are none.
        class_iou: IoU by class name; None for a class in neither labels nor predictions.
    """

    miou: float | None
    pixel_accuracy: float | None
    class_iou: dict[str, float | None]


def scores(confusion: Tensor, names: Sequence[str]) -> Scores:
    """Compute the scores of a split from its confusion matrix.

    Args:
        confusion: Confusion matrix, C x C integer counts of pixels; rows are true classes, columns
            predicted ones.
        names: Names of the C classes.

    Returns:
        The scores, in double precision; a class in neither labels nor predictions has no IoU
        and is left out of the mean. Without labelled pixels, mIoU and accuracy are None.

    With n[i, j] pixels of true class i predicted as class j:

        IoU[c] = n[c, c] / (sum_j n[c, j] + sum_i n[i, c] - n[c, c])
        mIoU = mean of IoU[c] over the classes c with a denominator above 0
        pixel accuracy = sum_c n[c, c] / sum_ij n[i, j]

    Example:
        >>> import torch
        >>> confusion = torch.tensor([[6, 2, 0], [1, 3, 0], [0, 0, 0]])
        >>> found = scores(confusion, ["road", "car", "train"])
        >>> {name: iou and round(iou, 4) for name, iou in found.class_iou.items()}
        {'road': 0.6667, 'car': 0.5, 'train': None}
        >>> round(found.miou, 4), found.pixel_accuracy
        (0.5833, 0.75)
    """
    areas = torch.stack([confusion.diagonal(), confusion.sum(0), confusion.sum(1)])
    return area_scores(areas, names)


def area_scores(areas: Tensor, names: Sequence[str]) -> Scores:
    """Compute scores from the sums of a confusion matrix for each class.

    Args:
        areas: Pixels by class, 3 x C integers: of the intersection, predicted, and labelled.
        names: Names of the C classes.

    Returns:
        See `scores`.
    """
    hits, predicted, labelled = areas.double().cpu()
    unions = predicted + labelled - hits
    ious = [
        hit / union if union else None
        for hit, union in zip(hits.tolist(), unions.tolist(), strict=True)
    ]
    occurring = [iou for iou in ious if iou is not None]
    pixels = labelled.sum().item()
    return Scores(
        miou=sum(occurring) / len(occurring) if occurring else None,
        pixel_accuracy=hits.sum().item() / pixels if pixels else None,
        class_iou=dict(zip(names, ious, strict=True)),
    )
