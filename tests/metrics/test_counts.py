"""What is counted of each image, against pixels counted one by one."""

import numpy as np
import pytest
import torch

from gcseg.metrics.boundary import boundary
from gcseg.metrics.calibration import expected_calibration_error
from gcseg.metrics.counts import Analysis, areas, merged


def drawn(seed, classes, size=(23, 31)):
    """A prediction, a label with ignored pixels, and confidences."""
    rng = np.random.default_rng(seed)
    predicted, label = rng.integers(0, classes, (2, *size))
    label[rng.random(size) < 0.1] = 255
    return map(torch.from_numpy, (predicted, label, rng.random(size, np.float32)))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("classes", [1, 4])
def test_areas(seed, classes):
    predicted, label, _ = drawn(seed, classes)
    counted = label != 255
    found = areas(predicted[counted], label[counted], classes)
    assert found.dtype == torch.int64
    for index in range(classes):
        true, guessed = (label == index) & counted, (predicted == index) & counted
        wanted = [(true & guessed).sum(), guessed.sum(), true.sum()]
        assert found[:, index].tolist() == [int(number) for number in wanted]


def test_parts_of_a_split_in_any_processes_are_the_whole():
    whole, parts = Analysis(5), [Analysis(5), Analysis(5), Analysis(5)]  # the last has no image
    for index in range(7):
        sample = list(drawn(index, 5))
        whole.update(index, *sample)
        parts[index % 2].update(index, *sample)
    together, counts = merged([part.counts for part in parts]), whole.counts
    assert together.indices.tolist() == list(range(7))
    assert torch.equal(together.areas, counts.areas)
    assert torch.equal(together.boundaries, counts.boundaries)
    torch.testing.assert_close(together.calibration, counts.calibration)


def test_boundaries_are_those_of_the_labelled_pixels():
    predicted, label, sure = drawn(0, 3)
    analysis = Analysis(3)
    analysis.update(0, predicted, label, sure)
    (found,) = analysis.counts.boundaries
    on_it = boundary(label, 1) & (label != 255)  # 2 % of the diagonal are less than a pixel
    assert found[2].tolist() == [int((on_it & (label == index)).sum()) for index in range(3)]


def test_ignored_pixels_are_not_calibrated():
    label = torch.tensor([[0, 1, 255, 255]])
    analysis = Analysis(2)
    analysis.update(0, torch.tensor([[0, 1, 0, 1]]), label, torch.tensor([[1.0, 1.0, 0.1, 0.2]]))
    assert expected_calibration_error(analysis.counts.calibration) == pytest.approx(0.0)
