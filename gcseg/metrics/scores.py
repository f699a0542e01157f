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
        miou: Mean IoU over the classes that occur, that is, in labels or predictions; None if no
            pixel is labelled.
        pixel_accuracy: Share of the labelled pixels that are correct; None if there are none.
        class_iou: IoU by class name; None for a class that does not occur.
        mean_f1: Mean F1 over the classes that occur.
        mean_precision: Mean precision over the classes that occur.
        mean_recall: Mean recall over the classes that occur.
        class_f1: F1, which is the Dice coefficient, by class name.
        class_precision: Precision by class name; 0 for a class that is labelled, but never
            predicted.
        class_recall: Recall by class name; 0 for a class that is predicted, but never labelled.
    """

    miou: float | None
    pixel_accuracy: float | None
    class_iou: dict[str, float | None]
    mean_f1: float | None
    mean_precision: float | None
    mean_recall: float | None
    class_f1: dict[str, float | None]
    class_precision: dict[str, float | None]
    class_recall: dict[str, float | None]

    def by_name(self) -> dict[str, float | None]:
        """Return every score under one name, as in curves: `miou`, `mean_f1`, `iou/road`, ..."""
        return {
            "miou": self.miou,
            "pixel_accuracy": self.pixel_accuracy,
            "mean_f1": self.mean_f1,
            "mean_precision": self.mean_precision,
            "mean_recall": self.mean_recall,
            **{f"iou/{name}": score for name, score in self.class_iou.items()},
            **{f"f1/{name}": score for name, score in self.class_f1.items()},
            **{f"precision/{name}": score for name, score in self.class_precision.items()},
            **{f"recall/{name}": score for name, score in self.class_recall.items()},
        }


def scores(confusion: Tensor, names: Sequence[str]) -> Scores:
    """Compute the scores of a split from its confusion matrix.

    Args:
        confusion: Confusion matrix, C x C integer counts of pixels; rows are true classes, columns
            predicted ones.
        names: Names of the C classes.

    Returns:
        The scores, in double precision; a class in neither labels nor predictions has none
        and is left out of the means. Without labelled pixels, means and accuracy are None.

    With n[i, j] pixels of true class i predicted as class j:

        IoU[c] = n[c, c] / (sum_j n[c, j] + sum_i n[i, c] - n[c, c])
        F1[c] = 2 n[c, c] / (sum_j n[c, j] + sum_i n[i, c])
        precision[c] = n[c, c] / sum_i n[i, c], recall[c] = n[c, c] / sum_j n[c, j]
        mIoU = mean of IoU[c] over the classes c with a denominator above 0, and so the other means
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
    occurs = predicted + labelled > 0
    iou = _by_class(hits, predicted + labelled - hits, occurs)
    f1 = _by_class(2 * hits, predicted + labelled, occurs)
    precision = _by_class(hits, predicted, occurs)
    recall = _by_class(hits, labelled, occurs)
    pixels = labelled.sum().item()
    return Scores(
        miou=_mean(iou),
        pixel_accuracy=hits.sum().item() / pixels if pixels else None,
        class_iou=dict(zip(names, iou, strict=True)),
        mean_f1=_mean(f1),
        mean_precision=_mean(precision),
        mean_recall=_mean(recall),
        class_f1=dict(zip(names, f1, strict=True)),
        class_precision=dict(zip(names, precision, strict=True)),
        class_recall=dict(zip(names, recall, strict=True)),
    )


def _by_class(part: Tensor, whole: Tensor, occurs: Tensor) -> list[float | None]:
    """Return a fraction for each class: 0 for one of nothing, None if the class does not occur."""
    fractions = (part / whole.clamp(min=1)).tolist()
    return [one if there else None for one, there in zip(fractions, occurs.tolist(), strict=True)]


def _mean(by_class: Sequence[float | None]) -> float | None:
    occurring = [score for score in by_class if score is not None]
    return sum(occurring) / len(occurring) if occurring else None
