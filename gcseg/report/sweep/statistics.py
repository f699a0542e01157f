"""Means, intervals and differences of a few scores, to tell effects from the noise of seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean, stdev

CONFIDENCE = 0.95
"""Confidence level of all intervals."""

POWER = 0.8
"""Probability with which `seeds_to_tell` seeds show a difference that is there."""
MOST_SEEDS = 1000
"""Most seeds that `seeds_to_tell` returns."""

_ENOUGH = 1e-15  # relative change at which the continued fraction ends
_TINY = 1e-300
_ENOUGH_OF_T = 1e-12  # relative accuracy of t


@dataclass(frozen=True)
class Mean:
    """The mean of some scores, in their unit.

    Args:
        count: Number of scores.
        value: Mean of the scores.
        deviation: Standard deviation of the scores (sample, with n - 1); None for a single score.
        margin: Half the width of the mean's interval by Student's t; None for a single score.
    """

    count: int
    value: float
    deviation: float | None
    margin: float | None


@dataclass(frozen=True)
class Difference:
    """The difference of two means, in the scores' unit.

    Args:
        value: Second mean minus first.
        margin: Half the width of the difference's interval; None if a mean is of a single score.
    """

    value: float
    margin: float | None

    @property
    def in_the_noise(self) -> bool | None:
        """Whether the interval contains 0, so that seeds alone may explain the difference.

        None if there is no interval or it has no width: scores that no seed changes at all come
        from one and the same training, and show no noise to compare with.
        """
        if self.margin is None or (self.margin == 0 and self.value != 0):
            return None
        return abs(self.value) <= self.margin


def mean(scores: Sequence[float]) -> Mean:
    """Return the mean of one or more scores, with its interval.

    Raises:
        ValueError: A score is not finite.
    """
    _check(scores)
    count = len(scores)
    if count == 1:
        return Mean(1, scores[0], None, None)
    deviation = stdev(scores)
    margin = t_quantile(count - 1) * deviation / math.sqrt(count)
    return Mean(count, fmean(scores), deviation, margin)


def difference(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Return how much higher the second scores are on average, with Welch's interval.

    The two may have different variances and numbers of scores.

    Source: Welch, "The generalization of 'Student's' problem when several different population
    variances are involved", Biometrika 34 (1947); degrees of freedom after Satterthwaite (1946).

    Raises:
        ValueError: A score is not finite.
    """
    _check([*first, *second])
    value = fmean(second) - fmean(first)
    if min(len(first), len(second)) < 2:
        return Difference(value, None)
    parts = [stdev(scores) ** 2 / len(scores) for scores in (first, second)]
    if not sum(parts):  # no score differs from its mean
        return Difference(value, 0.0)
    shares = [part / sum(parts) for part in parts]  # not of their squares, which may underflow
    freedom = 1 / sum(
        share**2 / (len(scores) - 1) for share, scores in zip(shares, (first, second), strict=True)
    )
    return Difference(value, t_quantile(freedom) * math.sqrt(sum(parts)))


def paired_difference(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Return how much higher the second scores are, each paired with one of the first.

    An example is the same weights scored in two ways: what seeds change in both cancels out.
    """
    change = mean([b - a for a, b in zip(first, second, strict=True)])
    return Difference(change.value, change.margin)


def seeds_to_tell(distance: float, deviation: float, *, sides: int = 1) -> int | None:
    """Return the number of seeds whose interval would tell a distance from 0.

    The smallest n for which n seeds (on each side) leave 0 out of the 95 % interval with a
    probability of 80 %, if the true distance and standard deviation are those given and scores
    follow a normal distribution: `distance >= (t(0.975) + t(0.8)) * deviation * sqrt(1 / n)`, with
    quantiles of Student's t in place of the noncentral t distribution. For a few seeds the given
    deviation is itself a rough estimate, and so is n.

    Source: Chow, Shao and Wang, "Sample Size Calculations in Clinical Research", 2nd edition
    (2008), sections 3.1 (one sample) and 3.2 (two samples).

    Args:
        distance: Distance from the value to tell it from, in the scores' unit.
        deviation: Standard deviation of the paired differences; with two sides, the root of the sum
            of both sides' variances.
        sides: 1 for paired differences, 2 for separate scores.

    Returns:
        The number; None if more than `MOST_SEEDS` would be needed.
    """

    def tells(count: int) -> bool:
        freedom = sides * (count - 1)
        quantiles = t_quantile(freedom) + t_quantile(freedom, 2 * POWER - 1)
        return abs(distance) * math.sqrt(count) >= quantiles * deviation

    if not tells(MOST_SEEDS):
        return None
    few, enough = 1, MOST_SEEDS  # few does not suffice, enough does
    while enough - few > 1:
        middle = (few + enough) // 2
        few, enough = (few, middle) if tells(middle) else (middle, enough)
    return enough


def _check(scores: Sequence[float]) -> None:
    if not all(map(math.isfinite, scores)):
        raise ValueError(f"scores are not finite: {', '.join(map(str, scores))}")


@lru_cache(maxsize=1024)
def t_quantile(freedom: float, confidence: float = CONFIDENCE) -> float:
    """Return the half width of an interval of Student's t, in standard errors.

    Args:
        freedom: Degrees of freedom, above 0; need not be whole.
        confidence: Probability between the two ends, above 0 and below 1.
    """
    outside = 1 - confidence
    low, high = 0.0, 1.0
    while _outside(high, freedom) > outside:
        high *= 2
    while high - low > _ENOUGH_OF_T * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _outside(middle, freedom) > outside else (low, middle)
    return high


def _outside(t: float, freedom: float) -> float:
    """Return the probability that Student's t is further from 0 than `t`."""
    return _incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t))


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """Compute the regularised incomplete beta function I_x(a, b) by its continued fraction.

    Source: NIST Digital Library of Mathematical Functions, 8.17.4 and 8.17.22.
    """
    if x in (0.0, 1.0):
        return x
    if x > (a + 1) / (a + b + 2):  # where the mirrored fraction converges faster
        return 1 - _incomplete_beta(b, a, 1 - x)
    logarithm = (
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    # Lentz's method: ratios of numerators and denominators, which neither overflow nor vanish.
    fraction = ratio_c = 1.0
    ratio_d = 0.0
    for step in range(1, 1000):
        m = step // 2
        if step % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        ratio_d = 1 / (1 + term * ratio_d or _TINY)
        ratio_c = 1 + term / ratio_c or _TINY
        fraction *= ratio_c * ratio_d
        if abs(ratio_c * ratio_d - 1) < _ENOUGH:
            break
    return math.exp(logarithm) / (a * fraction)
