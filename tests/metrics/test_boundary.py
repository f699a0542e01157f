"""Boundaries of all classes at once, against each class's mask eroded by OpenCV."""

import cv2
import numpy as np
import pytest
import torch

from gcseg.metrics.boundary import boundary, boundary_areas, boundary_distance
from gcseg.metrics.scores import area_scores


def regions(seed, height, width, classes, ignored=False):
    """Rectangles of random classes upon each other, and some of ignored pixels."""
    rng = np.random.default_rng(seed)
    label = np.full((height, width), rng.integers(classes), np.uint8)
    for index in range(9):
        top, left = rng.integers(0, height), rng.integers(0, width)
        bottom, right = top + rng.integers(1, height + 1), left + rng.integers(1, width + 1)
        label[top:bottom, left:right] = 255 if ignored and index > 6 else rng.integers(classes)
    return label


def eroded(mask, distance):
    """The mask less its eroded self, with a border of pixels outside it."""
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    inside = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=distance)[1:-1, 1:-1]
    return mask & (inside == 0)


@pytest.mark.parametrize("distance", [1, 2, 3, 5, 8, 30])
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (17, 16), (61, 83), (16, 17)])
@pytest.mark.parametrize("seed", range(3))
def test_against_erosion(seed, size, distance):
    label = regions(seed, *size, classes=4)
    wanted = np.zeros(size, bool)
    for index in range(4):
        wanted |= eroded(label == index, distance)
    found = boundary(torch.from_numpy(label), distance)
    assert found.dtype == torch.bool
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(boundary(torch.from_numpy(label).long(), distance), wanted)


@pytest.mark.parametrize("distance", [1, 4])
@pytest.mark.parametrize("seed", range(4))
def test_areas_against_masks_of_each_class(seed, distance):
    label = regions(seed, 47, 58, classes=5, ignored=True)
    predicted = np.roll(regions(seed, 47, 58, classes=5), 2, axis=1)
    predicted[predicted == 4] = 3  # which is labelled and never predicted
    counted = label != 255
    assert 0.05 < counted.mean() < 1
    wanted = np.zeros((3, 6), np.int64)  # of which the last class is in neither
    for index in range(6):
        true = eroded(label == index, distance)
        guessed = eroded((predicted == index) & counted, distance)
        wanted[:, index] = (true & guessed).sum(), guessed.sum(), true.sum()
    found = boundary_areas(torch.from_numpy(label).long(), torch.from_numpy(predicted), 6, distance)
    assert found.dtype == torch.int64
    np.testing.assert_array_equal(found, wanted)


def test_a_class_that_ends_at_ignored_pixels_has_the_same_contour_in_both():
    label = torch.zeros(20, 20, dtype=torch.uint8)
    label[8:12, 8:12] = 255
    areas = boundary_areas(label, torch.zeros_like(label), 2, 2)
    assert area_scores(areas, "ab").class_iou == {"a": 1.0, "b": None}
    label[:] = 255
    assert not boundary_areas(label, torch.zeros_like(label), 2, 2).any()


def test_by_hand():
    label = torch.tensor([[0, 0, 0, 0, 0, 0, 1]] * 7)
    edge = [[True] * 7, *[[True, False, False, False, False, True, True]] * 5, [True] * 7]
    assert boundary(label, 1).tolist() == edge


@pytest.mark.parametrize(
    ("height", "width", "options", "wanted"),
    [(1024, 2048, {}, 46), (360, 480, {}, 12), (1024, 2048, {"ratio": 0.005}, 11), (3, 4, {}, 1)],
)
def test_distance(height, width, options, wanted):
    assert boundary_distance(height, width, **options) == wanted
