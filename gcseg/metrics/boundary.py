"""Boundary IoU: the IoU of the classes near their contours, without their interior.

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
"""Largest distance of a counted pixel from a contour, in image diagonals.

Source: the default of the paper's authors (github.com/bowenc0221/boundary-iou-api) for COCO and
LVIS. For Cityscapes, whose images are large and exactly labelled, they take 0.005; gcseg uses one
ratio for every dataset, so that its scores are comparable.
"""


def boundary_distance(height: int, width: int, ratio: float = DILATION_RATIO) -> int:
    """Return the largest distance of a counted pixel from a contour, in pixels; at least 1.

    Args:
        height: Height of the image, in pixels.
        width: Width of the image, in pixels.
        ratio: Distance in image diagonals.
    """
    return max(1, round(ratio * math.hypot(height, width)))


def boundary(label: Tensor, distance: int) -> Tensor:
    """Return the pixels that lie within a distance of the contour of their class's mask.

    The image's border is a contour too. The result equals the paper's mask minus the mask eroded
    `distance` times by 3 x 3 pixels, for all classes at once: a pixel is inside its class if the
    square of 2 * distance + 1 pixels around it lies in the image and has one value.

    Args:
        label: Class indices, H x W integers; 255 is treated like a separate class.
        distance: Distance in pixels, 1 or more.

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

    Ignored pixels are ignored in the prediction too before contours are taken, so that both have
    the same contour where a class ends at an ignored region; they are not counted.

    Args:
        label: Class indices of the label, H x W; 255 is ignored.
        predicted: Class indices of the prediction, H x W.
        num_classes: Number of classes C, at most 254.
        distance: Largest distance from a contour in pixels, see `boundary_distance`.

    Returns:
        3 x C int64: pixels of the intersection, on predicted boundaries, and on labelled ones.
        `gcseg.metrics.scores.area_scores` computes the IoU from their sum over images.
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
    """Return the lowest or highest value in each square window that lies in an image.

    Each side is reduced in turn, in steps that double the number of pixels that a value covers.

    Args:
        values: Image of values, H x W.
        size: Length of the window's sides, in pixels, at most H and W.
        reduce: Reduction, torch.minimum or torch.maximum.

    Returns:
        (H - size + 1) x (W - size + 1) values, indexed by the windows' upper left corners.
    """
    for side in (0, 1):
        covered = 1
        while covered < size:
            step = min(covered, size - covered)
            length = values.shape[side] - step
            values = reduce(values.narrow(side, 0, length), values.narrow(side, step, length))
            covered += step
    return values
