"""The mIoU of the same predictions as each framework would report it.

All conventions start from the same labelled pixels; they differ in the treatment of absent
classes, in the precision of the counts, and in whether pixels are added up or images averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gcseg.data.label_spaces import CITYSCAPES
from gcseg.metrics.scores import Scores, area_scores

# Source: cityscapesScripts, helpers/labels.py; a category's ignored classes are never predicted.
CITYSCAPES_CATEGORIES = {
    "flat": ("road", "sidewalk"),
    "construction": ("building", "wall", "fence"),
    "object": ("pole", "traffic light", "traffic sign"),
    "nature": ("vegetation", "terrain"),
    "sky": ("sky",),
    "human": ("person", "rider"),
    "vehicle": ("car", "truck", "bus", "train", "motorcycle", "bicycle"),
}

_FLOAT32_EXACT = 1 << 24
"""Largest number up to which float32 represents every whole number."""


CONVENTIONS = (
    "gcseg", "paddleseg", "mmsegmentation", "torchmetrics", "per_image", "cityscapes"
)  # fmt: skip
"""Names of the conventions."""


class Convention(NamedTuple):
    """One framework's mIoU, 0..1, and the reason why it differs or not."""

    miou: float | None
    reason: str


def conventions(areas: Tensor, names: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    """Score the same predictions by each convention.

    - `gcseg`: the mean IoU over the classes in labels or predictions of the split, from integers.
    - `paddleseg` (2.8, `paddleseg.utils.metrics.mean_iou`): an absent class has IoU 0 in the mean.
    - `mmsegmentation` (1.2, `IoUMetric`): areas by image and their sums are float32; percent are
      rounded to two decimals.
    - `torchmetrics` (1.9, `MulticlassJaccardIndex(average="macro", ignore_index=255)`): the
      integers are divided in float32; absent classes are left out.
    - `per_image`: the mean over images with labelled pixels of the image's mean IoU over the
      classes in its labels or predictions; as `torchmetrics.functional.segmentation.mean_iou`,
      averaged over images. (The class `MeanIoU` of torchmetrics 1.9 averages over all pairs of
      image and class instead; mIoU^I of Wang et al., "Revisiting Evaluation Metrics for Semantic
      Segmentation", NeurIPS 2023, has an image's mean over the classes in its labels only.)
    - `cityscapes` (cityscapesScripts 2.3, `evalPixelLevelSemanticLabeling`): pixels whose truth is
      ignored are dropped, predictions of ignored classes would be misses, and absent classes
      are left out.

    Args:
        areas: Pixels by image, N x 3 x C integers: of the intersection, predicted, and labelled,
            without ignored pixels; in the order of evaluation, as float32 sums depend on it.
        names: Names of the C classes, for the reasons; class indices are used if empty.

    Returns:
        By convention its `miou`, 0..1, or None if no pixel is labelled, and the `reason`, a
        sentence.
    """
    areas = areas.cpu()
    names = names or [f"class {index}" for index in range(areas.shape[2])]
    ours = area_scores(areas.sum(0), names)
    if ours.miou is None:
        undefined = Convention(None, "It is not defined: no pixel is labelled.")
        return {name: undefined._asdict() for name in CONVENTIONS}
    found = {
        "gcseg": Convention(
            ours.miou,
            "One matrix of integers over the whole split; classes in neither labels nor "
            "predictions are left out.",
        ),
        "paddleseg": _paddleseg(ours),
        "mmsegmentation": _mmsegmentation(areas, ours),
        "torchmetrics": _torchmetrics(areas, ours),
        "per_image": _per_image(areas, ours, names),
        "cityscapes": Convention(
            ours.miou,
            "Equal: the official script drops pixels of ignored truth and leaves absent classes "
            "out too, and would count predictions of ignored classes as misses, of which there "
            "are none.",
        ),
    }
    return {name: convention._asdict() for name, convention in found.items()}


def image_scores(areas: Tensor, names: Sequence[str]) -> list[Scores | None]:
    """Return the scores of each single image.

    Args:
        areas: Pixels by image, N x 3 x C integers, see `conventions`.
        names: Names of the C classes.

    Returns:
        Scores by image; None for an image without a labelled pixel.
    """
    return [area_scores(image, names) if image[2].any() else None for image in areas.cpu()]


def cityscapes_categories(confusion: Tensor) -> dict[str, float | None]:
    """Return the IoU of the categories of Cityscapes: confusions in a category count as correct.

    Args:
        confusion: Confusion matrix, 19 x 19 integer counts of pixels; rows are true classes,
            columns predicted ones.

    Returns:
        IoU by category, 0..1; None for a category in neither labels nor predictions.

    Raises:
        ValueError: If the matrix is not of the 19 classes.
    """
    count = CITYSCAPES.num_classes
    if confusion.shape != (count, count):
        raise ValueError(f"a matrix of {tuple(confusion.shape)}, not of {count} x {count} classes")
    members = CITYSCAPES_CATEGORIES.values()
    belongs = torch.tensor([[int(name in some) for name in CITYSCAPES.names] for some in members])
    merged = belongs @ confusion.cpu().to(torch.int64) @ belongs.T
    areas = torch.stack([merged.diagonal(), merged.sum(0), merged.sum(1)])
    return area_scores(areas, list(CITYSCAPES_CATEGORIES)).class_iou


def _paddleseg(ours: Scores) -> Convention:
    absent = [name for name, iou in ours.class_iou.items() if iou is None]
    if not absent:
        reason = "Equal: it would count an absent class as IoU 0, but every class occurs."
        return Convention(ours.miou, reason)
    return Convention(
        sum(iou for iou in ours.class_iou.values() if iou is not None) / len(ours.class_iou),
        f"It counts absent classes as IoU 0 in the mean: here {_listed(absent)}, "
        f"{len(absent)} of {len(ours.class_iou)}.",
    )


def _mmsegmentation(areas: Tensor, ours: Scores) -> Convention:
    hits = torch.zeros(areas.shape[2])
    unions = torch.zeros(areas.shape[2])
    for hit, predicted, labelled in areas.float():
        hits += hit
        unions += predicted + labelled - hit
    # The IoU of a class without a union is NaN, which nanmean leaves out.
    mean = np.nanmean((hits / unions).numpy()).item() if unions.any() else 0.0
    miou = _two_decimals(mean)
    if ours.miou is not None and miou == _two_decimals(ours.miou):
        reason = "Equal but for rounding to two decimals of percent: its float32 sums lose nothing"
        return Convention(miou, f"{reason} that shows here.")
    largest = int(areas.sum(0)[1:].max())
    why = f"float32 is exact to {_FLOAT32_EXACT:,}, and a class here has {largest:,} pixels"
    if largest <= _FLOAT32_EXACT:
        why = "so near the middle of two decimals that a float32 falls on the other side"
    return Convention(
        miou, f"It adds up pixels in float32 and rounds to two decimals of percent: {why}."
    )


def _two_decimals(fraction: float) -> float:
    """Round a fraction to two decimals of percent, in double precision as NumPy 1 does."""
    return round(float(np.round(fraction * 100, 2)) / 100, 4)


def _torchmetrics(areas: Tensor, ours: Scores) -> Convention:
    hits, predicted, labelled = areas.sum(0).float()
    unions = predicted + labelled - hits
    occurring = (hits / unions)[unions > 0]
    miou = (occurring / max(len(occurring), 1)).sum().item()
    how = "Equal" if miou == ours.miou else "Equal but for rounding"
    return Convention(
        miou,
        f"{how}: the macro average of MulticlassJaccardIndex leaves absent classes out too, and "
        "divides in float32.",
    )


def _per_image(areas: Tensor, ours: Scores, names: Sequence[str]) -> Convention:
    found = [image.miou for image in image_scores(areas, names) if image is not None]
    means = [miou for miou in found if miou is not None]
    miou = sum(means) / max(len(means), 1)
    reason = "It averages each image's mean IoU over the classes in its labels or predictions"
    if len(means) == 1:
        return Convention(miou, f"Equal: {reason[0].lower()}{reason[1:]}, and one image is all.")
    why = (
        "a large object weighs no more than a small one in another image, and one pixel of a "
        "class that is not there costs that image an IoU of 0"
    )
    if miou == ours.miou:
        why = "which here comes to the same"
    return Convention(miou, f"{reason}, over {len(means)} images: {why}.")


def _listed(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
