"""Means and differences of few scores."""

import numpy as np
import pytest

from gcseg.report.sweep.statistics import (
    difference,
    mean,
    paired_difference,
    seeds_to_tell,
    t_quantile,
)

stats = pytest.importorskip("scipy.stats")

FREEDOMS = [*range(1, 201), *np.random.default_rng(0).uniform(1, 200, 100), 1e4]


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.99, 0.999])
def test_quantiles_of_students_t(confidence):
    for freedom in FREEDOMS:
        expected = stats.t.ppf((1 + confidence) / 2, freedom)
        assert t_quantile(float(freedom), confidence) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [2, 3, 10])
def test_a_mean_has_students_interval(seed, count):
    scores = np.random.default_rng(seed).normal(0.7, 0.01, count)
    found = mean(scores.tolist())
    low, high = stats.t.interval(0.95, count - 1, scores.mean(), stats.sem(scores))
    assert found.count == count
    assert found.deviation == pytest.approx(scores.std(ddof=1))
    assert found.value - found.margin == pytest.approx(low)
    assert found.value + found.margin == pytest.approx(high)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("counts", [(2, 2), (3, 5), (10, 2)])
def test_a_difference_has_welchs_interval(seed, counts):
    generator = np.random.default_rng(seed)
    first = generator.normal(0.70, 0.01, counts[0])
    second = generator.normal(0.71, 0.03, counts[1])
    found = difference(first.tolist(), second.tolist())
    expected = stats.ttest_ind(second, first, equal_var=False)
    low, high = expected.confidence_interval(0.95)
    assert found.value - found.margin == pytest.approx(low)
    assert found.value + found.margin == pytest.approx(high)
    assert found.in_the_noise == (expected.pvalue >= 0.05)


def test_pairs_are_compared_one_by_one():
    first, second = [0.5, 0.6, 0.7], [0.51, 0.613, 0.708]
    found = paired_difference(first, second)
    expected = stats.ttest_rel(second, first)
    low, high = expected.confidence_interval(0.95)
    assert found.value - found.margin == pytest.approx(low)
    assert found.value + found.margin == pytest.approx(high)
    assert not found.in_the_noise and difference(first, second).in_the_noise


def test_a_single_score_has_no_interval():
    assert mean([0.5]).deviation is None and mean([0.5]).margin is None
    assert difference([0.5], [0.6, 0.7]).margin is None
    assert difference([0.5, 0.6], [0.7]).in_the_noise is None


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_scores_that_are_no_numbers(wrong):
    with pytest.raises(ValueError, match="not finite"):
        mean([0.5, wrong])
    with pytest.raises(ValueError, match="not finite"):
        difference([0.5, 0.6], [0.5, wrong])


def test_equal_scores():
    assert mean([0.5, 0.5, 0.5]).margin == 0
    assert difference([0.5, 0.5], [0.5, 0.5]).in_the_noise
    assert difference([0.5, 0.5], [0.6, 0.6]).in_the_noise is None
    # So close that the squares of their variances vanish.
    near = difference([0.5, 0.5 + 1e-90], [0.5, 0.5])
    assert near.in_the_noise
    tiny = difference([0.0, 1e-90], [0.0, 3e-90])
    assert tiny.margin == pytest.approx(1e-90 * difference([0.0, 1.0], [0.0, 3.0]).margin)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_mean_is_in_95_of_100_intervals(seed, count):
    draws = np.random.default_rng(seed).normal(0.7, 0.01, (4000, count)).tolist()
    found = map(mean, draws)
    covered = np.mean([abs(one.value - 0.7) <= one.margin for one in found])
    assert covered == pytest.approx(0.95, abs=0.014)  # four standard errors of 4000 draws


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("counts", "deviations"), [((3, 3), (1, 1)), ((5, 8), (1, 3))])
def test_the_difference_is_in_95_of_100_intervals(seed, counts, deviations):
    generator = np.random.default_rng(seed)
    first = generator.normal(0.70, 0.01 * deviations[0], (500, counts[0])).tolist()
    second = generator.normal(0.72, 0.01 * deviations[1], (500, counts[1])).tolist()
    found = [difference(a, b) for a, b in zip(first, second, strict=True)]
    covered = np.mean([abs(one.value - 0.02) <= one.margin for one in found])
    # Welch's degrees of freedom are an approximation, on the safe side for few seeds.
    assert 0.91 <= covered <= 0.985


@pytest.mark.parametrize(
    ("sides", "effect", "count"),
    # Published tables: two-sided 5 %, power 80 %, paired and two-sample t tests.
    [(1, 0.2, 199), (1, 0.5, 34), (1, 0.8, 15), (1, 1.0, 10), (2, 0.5, 64), (2, 0.8, 26),
     (2, 1.0, 17)],
)  # fmt: skip
def test_seeds_that_would_tell_are_those_of_power_analysis(sides, effect, count):
    deviation = 0.4
    assert seeds_to_tell(effect * deviation, deviation * sides**0.5, sides=sides) == count


def test_seeds_that_would_tell_at_the_ends():
    assert seeds_to_tell(0.0, 0.1) is None
    assert seeds_to_tell(0.001, 0.1) is None
    assert seeds_to_tell(-0.5, 0.4) == seeds_to_tell(0.5, 0.4)
    assert seeds_to_tell(1.0, 0.0) == 2


@pytest.mark.parametrize(("effect", "count"), [(1.0, 10), (0.5, 34)])
def test_so_many_seeds_tell_in_80_of_100_cases(effect, count):
    generator = np.random.default_rng(0)
    told = 0
    for _ in range(2000):
        found = mean(generator.normal(effect, 1.0, count).tolist())
        told += abs(found.value) > found.margin
    assert told / 2000 == pytest.approx(0.8, abs=0.03)
