"""Calibration against the paper's formula written out, and against torchmetrics."""

import math

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from gcseg.metrics.calibration import Calibration, bins, expected_calibration_error


def state_of(confidence, correct=None, counted=None):
    confidence = torch.as_tensor(confidence)
    yes = torch.ones(confidence.shape, dtype=torch.bool)
    calibration = Calibration()
    calibration.update(
        confidence, yes if correct is None else correct, yes if counted is None else counted
    )
    return calibration.state


def drawn(seed, shape=(19, 27)):
    rng = np.random.default_rng(seed)
    confidence = torch.from_numpy(rng.beta(4, 1, shape).astype(np.float32))
    correct = torch.from_numpy(rng.random(shape) < 0.7)
    return confidence, correct, torch.from_numpy(rng.random(shape) < 0.9)


@pytest.mark.parametrize("seed", range(4))
def test_against_the_formula(seed):
    calibration = Calibration()
    pixels = []
    for image in range(3):
        sample = drawn(10 * seed + image, (11, 13 + image))
        calibration.update(*sample)
        pixels += [
            (sure, hit)
            for sure, hit, counts in zip(*(part.flatten().tolist() for part in sample), strict=True)
            if counts
        ]
    error = 0.0
    found = bins(calibration.state)
    assert len(found) == 15
    for index, bin in enumerate(found):
        inside = [(sure, hit) for sure, hit in pixels if index / 15 < sure <= (index + 1) / 15]
        assert (bin["lower"], bin["upper"]) == (index / 15, (index + 1) / 15)
        assert bin["pixels"] == len(inside)
        if not inside:
            assert bin["confidence"] is bin["accuracy"] is None
            continue
        confidence = sum(sure for sure, _ in inside) / len(inside)
        accuracy = sum(hit for _, hit in inside) / len(inside)
        assert bin["confidence"] == pytest.approx(confidence, abs=1e-12)
        assert bin["accuracy"] == pytest.approx(accuracy, abs=1e-12)
        error += len(inside) / len(pixels) * abs(accuracy - confidence)
    assert expected_calibration_error(calibration.state) == pytest.approx(error, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_against_torchmetrics(seed):
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(0, 2, (1, 5, 31, 33)).astype(np.float32))
    label = torch.from_numpy(rng.choice([0, 1, 2, 3, 4, 255], (1, 31, 33)))
    wanted = multiclass_calibration_error(logits, label, 5, n_bins=15, norm="l1", ignore_index=255)
    confidence, predicted = logits.softmax(1)[0].max(0)
    state = state_of(confidence, predicted == label[0], label[0] != 255)
    assert expected_calibration_error(state) == pytest.approx(wanted.item(), abs=1e-6)


def test_bins_hold_their_upper_bounds():
    edges = torch.linspace(0, 1, 16)
    assert [bin["pixels"] for bin in bins(state_of(edges))] == [2, *[1] * 14]  # 0 is in the first
    above = state_of(torch.nextafter(edges[1:-1], torch.tensor(2.0)))
    assert [bin["pixels"] for bin in bins(above)] == [0, *[1] * 14]


def test_states_of_processes_add_up():
    parts, whole = [Calibration(), Calibration()], Calibration()
    for seed in range(4):
        sample = drawn(seed)
        whole.update(*sample)
        parts[seed % 2].update(*sample)
    together = parts[0].state + parts[1].state
    assert together.dtype == torch.float64 and together.shape == (3, 15)
    torch.testing.assert_close(together, whole.state, rtol=1e-12, atol=0)


def test_sure_and_right_or_wrong():
    sure = torch.ones(4, 5)
    assert expected_calibration_error(state_of(sure)) == 0
    assert expected_calibration_error(state_of(sure, correct=torch.zeros(4, 5) > 0)) == 1


def test_nothing_counted_and_numbers_that_are_none():
    nothing = state_of(torch.ones(2, 2), counted=torch.zeros(2, 2) > 0)
    assert expected_calibration_error(nothing) == 0
    assert {bin["confidence"] for bin in bins(nothing)} == {None}
    diverged = state_of(torch.tensor([[math.nan, 1.0]]))
    assert expected_calibration_error(diverged) == 0.5
