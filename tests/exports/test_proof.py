"""The counts of a proof, and what they allow."""

import numpy as np
import pytest

from gcseg.exports.proof import Comparison


def proof(precision, *, wrong, labelled=True, pixels=100_000):
    """Of an export that is wrong on so many pixels, and of a network that is right on all."""
    truth = np.arange(pixels, dtype=np.uint8).reshape(100, -1) % 2
    mask = truth.copy()
    mask.flat[:wrong] ^= 1
    comparison = Comparison(("road", "car"))
    comparison.add(truth, mask, truth if labelled else None)
    return comparison.proof(precision, {"split": "val"})


@pytest.mark.parametrize(
    ("precision", "wrong", "passed"),
    [
        ("fp32", 0, True),
        ("fp32", 1, True),
        ("fp32", 2, False),
        ("fp16", 40, True),
        ("fp16", 600, False),
        ("int8", 140, True),
        ("int8", 400, False),
    ],
)
def test_what_is_allowed(precision, wrong, passed):
    found = proof(precision, wrong=wrong)
    assert found["passed"] is passed
    assert found["equal_pixels"] == 100_000 - wrong
    assert found["miou"]["pytorch"] == 1
    assert np.sum(found["confusion"]["export"]) == 100_000
    assert np.trace(found["confusion"]["export"]) == 100_000 - wrong


def test_an_int8_network_may_be_better_and_a_float_one_not():
    truth = np.zeros((10, 10), np.uint8)
    truth[:5] = 1
    worse = truth.copy()
    worse[0, 0] = 0
    for precision, passed in (("int8", True), ("fp32", False)):
        comparison = Comparison(("road", "car"))
        comparison.add(worse, truth, truth)
        assert comparison.proof(precision, {})["passed"] is passed


def test_without_labels_the_pixels_decide():
    assert proof("fp32", wrong=0, labelled=False)["passed"]
    assert not proof("fp32", wrong=2, labelled=False)["passed"]
    assert proof("fp32", wrong=0, labelled=False)["miou"] is None
    assert not proof("int8", wrong=0, labelled=False)["passed"]


def test_ignored_pixels_are_compared_and_not_scored():
    comparison = Comparison(("road", "car"))
    truth = np.full((2, 2), 255, np.uint8)
    truth[0, 0] = 1
    mask = np.ones((2, 2), np.uint8)
    comparison.add(mask, mask * 0, truth)
    found = comparison.proof("int8", {})
    assert found["equal_pixels"] == 0
    assert found["confusion"]["pytorch"] == [[0, 0], [0, 1]]
    assert found["confusion"]["export"] == [[0, 0], [1, 0]]
