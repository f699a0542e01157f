"""Boundary IoU: how well the contours of the classes are met, whatever is inside them.

Source: Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation",
CVPR 2021. There it scores single objects; here each class of an image is one mask, and pixels are
counted over a whole split, as for mIoU.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from gcseg.data.label_spaces import IGNORE_INDEX

DILATION_RATIO = 0.02
"""How far from a contour a pixel still counts, in image diagonals.

Source: the default of the paper's authors (github.com/bowenc0221/boundary-iou-api) for COCO and
LVIS. For Cityscapes, whose pictures are large and exactly labelled, they take 0.005; one ratio
for every dataset keeps ours comparable.
"""


def boundary_distance(height: int, width: int, ratio: float = DILATION_RATIO) -> int:
    """How far from a contour a pixel of an image may be to count, in pixels; at least 1.

    Args:
        height: Of the image, in pixels.
        width: Likewise.
        ratio: In image diagonals.
    """
    return max(1, round(ratio * math.hypot(height, width)))


def boundary(label: Tensor, distance: int) -> Tensor:
    """The pixels that lie within a distance of the contour of their own class's mask.

    The image's border is a contour too. As the paper's mask less the mask eroded `distance` times
    by 3 x 3 pixels, for all classes at once: a pixel is inside its class if the square of
    2 * distance + 1 pixels around it lies in the image and has one value.

    Args:
        label: H x W integers: class indices, 255 like a class of its own.
        distance: In pixels, 1 or more.

    Returns:
        H x W bool.
    """
    found = torch.ones_like(label, dtype=torch.bool)
    height, width = label.shape
    if min(height, width) > 2 * distance:
        lowest = _windowed(label, 2 * distance + 1, torch.minimum)
        highest = _windowed(label, 2 * distance + 1, torch.maximum)
        found[distance : height - distance, distance : width - distance] = lowest != highest
    return found


def boundary_areas(label: Tensor, predicted: Tensor, num_classes: int, distance: int) -> Tensor:
    """Count an image's pixels on boundaries, by class.

    Ignored pixels are ignored in the prediction too before contours are taken, so that where a
    class ends at an ignored region both have the same contour; they count for nothing.

    Args:
        label: H x W class indices; 255 is ignored.
        predicted: H x W class indices.
        num_classes: C, at most 254.
        distance: See `boundary_distance`.

    Returns:
        3 x C int64: pixels of the intersection, on predicted boundaries, and on labelled ones.
        `gcseg.metrics.scores.area_scores` makes the IoU of them, over images added up.
    """
    label = label.to(torch.uint8)
    predicted = predicted.to(torch.uint8)
    counted = label != IGNORE_INDEX
    on_predicted = boundary(predicted.where(counted, label), distance) & counted
    on_labelled = boundary(label, distance) & counted
    both = on_predicted & on_labelled & (label == predicted)
    parts = (label[both], predicted[on_predicted], label[on_labelled])
    return torch.stack([torch.bincount(part, minlength=num_classes) for part in parts])


def _windowed(values: Tensor, size: int, reduce: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The lowest or highest value in each square window that lies in an image.

    One side after the other, each in steps that double what a value is of.

    Args:
        values: H x W.
        size: Of the window's sides, in pixels, at most H and W.
        reduce: torch.minimum or torch.maximum.

    Returns:
        (H - size + 1) x (W - size + 1), by the windows' upper left corners.
    """
    for side in (0, 1):
        covered = 1
        while covered < size:
            step = min(covered, size - covered)
            length = values.shape[side] - step
            values = reduce(values.narrow(side, 0, length), values.narrow(side, step, length))
            covered += step
    return values
