"""Class weights by rule are those that statistics print."""

import numpy as np
import pytest

from gcseg.data.class_index import ClassIndex
from gcseg.data.class_weights import by_rule, inverse_log, median_frequency


def index(*counts):
    return ClassIndex(np.array(counts, np.int64), np.empty((0, 4), np.int32))


def test_by_hand():
    """Two images; the second has no pixel of the first class, the last class never occurs."""
    found = by_rule("median_frequency", index([10, 30, 60, 0], [0, 50, 50, 0]))
    frequencies = [10 / 100, 80 / 200, 110 / 200]
    wanted = [float(f"{0.4 / frequency:.4g}") for frequency in frequencies]
    assert found == (*wanted, None)
    log = by_rule("inverse_log", index([10, 30, 60, 0], [0, 50, 50, 0]))
    assert log == (*(pytest.approx(1 / np.log(1.02 + n / 200), abs=5e-3) for n in (10, 80, 110)),
                   None)  # fmt: skip
    assert by_rule("auto", index([10, 30, 60, 0], [0, 50, 50, 0])) == log


def test_bounds_of_the_inverse_logarithm():
    assert inverse_log([10**12, 1]) == (pytest.approx(1.42, abs=0.01), pytest.approx(50.5, abs=0.1))


def test_nothing_labelled_and_a_single_class():
    assert by_rule("median_frequency", index([0, 0])) == (None, None)
    assert by_rule("inverse_log", index([0, 0])) == (None, None)
    assert median_frequency([7], [7]) == (1.0,)
