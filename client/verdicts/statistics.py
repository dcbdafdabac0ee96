"""Intervals of proportions, differences, quantiles and means, and McNemar's test. Standard library only.

Sources: Wilson 1927; Newcombe 1998 (Statistics in Medicine 17, 857-872, 873-890 and 2635-2650); Zou and Donner 2008
(27, 1693-1702) for ratios; Conover 1980 for quantiles; Welch 1947 for means; Abramowitz and Stegun 26.7.5 for
Student's t. Counts may be fractions: verdict.py asks for intervals at other numbers of images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, variance

LEVEL = 0.95
"""The share of intervals that cover the true value."""

_LEAST_VALUES = 5
"""Values of which a mean gets an interval: the expansion of Student's t is exact to 0.3 % from here on."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and the ends of its interval. An end that the data leave open is infinite."""

    value: float
    low: float
    high: float


def z_of(together: int = 1) -> float:
    """Return the normal quantile of an interval, of which `together` hold at LEVEL at the same time (Bonferroni)."""
    return NormalDist().inv_cdf(1 - (1 - LEVEL) / 2 / together)


Z = z_of()


def proportion(count: float, of: float, z: float = Z) -> Interval:
    """Return a proportion with Wilson's score interval. `of` must be above 0."""
    share, spread = count / of, z * z / of
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / of + spread / 4 / of)
    return Interval(share, max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share)))


def difference(first: Interval, second: Interval, correlation: float = 0.0) -> Interval:
    """Return second minus first, from the intervals of both (Newcombe's square-and-add)."""
    value = second.value - first.value
    down = _root(second.value - second.low, first.high - first.value, correlation)
    up = _root(second.high - second.value, first.value - first.low, correlation)
    return Interval(value, value - down, value + up)


def paired_difference(both: float, first: float, second: float, neither: float, z: float = Z) -> Interval:
    """Return the difference of two proportions of the same images, second minus first.

    The counts are those of images that have the property in both, only in the first, only in the second, in neither.
    """
    of = both + first + second + neither
    product, crossed = both * neither, first * second
    apart = product - crossed
    if apart > 0:
        apart = max(apart - of / 2, 0.0)
    scale = math.sqrt((both + first) * (second + neither) * (both + second) * (first + neither))
    sides = proportion(both + first, of, z), proportion(both + second, of, z)
    return difference(*sides, apart / scale if scale else 0.0)


def mcnemar(first: int, second: int) -> float:
    """Return the two-sided p of the exact McNemar test, from the images that only one model has right."""
    of = first + second
    tail = math.fsum(math.exp(_log_binomial(of, count, 0.5)) for count in range(min(first, second) + 1))
    return min(1.0, 2 * tail)


def quantile(values: Sequence[float], share: float) -> Interval:
    """Return a quantile of the values, which must not be empty, with the interval between two of the values."""
    ordered, count = sorted(values), len(values)
    low, high = _ranks(count, share)
    return Interval(
        ordered[max(0, math.ceil(count * share) - 1)],
        ordered[low - 1] if low >= 1 else -math.inf,
        ordered[high - 1] if high <= count else math.inf,
    )


def ratio(first: Interval, second: Interval) -> Interval | None:
    """Return second by first, of positive values, from the intervals of both; None where a value is not positive."""
    if first.value <= 0 or second.value <= 0:
        return None
    first, second = _logarithms(first), _logarithms(second)
    found = difference(first, second)
    return Interval(math.exp(found.value), math.exp(found.low), _exp(found.high))


def mean(values: Sequence[float]) -> Interval | None:
    """Return the mean with Student's interval; None of fewer than five values."""
    count = len(values)
    if count < _LEAST_VALUES:
        return None
    half = _student(count - 1) * math.sqrt(variance(values) / count)
    middle = fmean(values)
    return Interval(middle, middle - half, middle + half)


def mean_difference(first: Sequence[float], second: Sequence[float]) -> Interval | None:
    """Return the difference of two means, second minus first, with Welch's interval; None of fewer than five values."""
    if min(len(first), len(second)) < _LEAST_VALUES:
        return None
    middle = fmean(second) - fmean(first)
    parts = [variance(values) / len(values) for values in (first, second)]
    error = sum(parts)
    freedom = sum(part**2 / (len(values) - 1) for part, values in zip(parts, (first, second), strict=True))
    half = _student(error**2 / freedom) * math.sqrt(error) if freedom else 0.0
    return Interval(middle, middle - half, middle + half)


def _root(one: float, other: float, correlation: float) -> float:
    if math.isinf(one) or math.isinf(other):
        return math.inf
    return math.sqrt(max(0.0, one * one - 2 * correlation * one * other + other * other))


def _student(freedom: float) -> float:
    """The quantile of Student's t for a two-sided interval at LEVEL."""
    z = Z
    return (
        z
        + (z**3 + z) / 4 / freedom
        + (5 * z**5 + 16 * z**3 + 3 * z) / 96 / freedom**2
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384 / freedom**3
    )


def _ranks(count: int, share: float) -> tuple[int, int]:
    """The ranks, from 1, of the values between which a quantile lies; 0 and count + 1 for ends that are open."""
    spread = 10 * math.sqrt(count * share * (1 - share)) + 10  # beyond it the binomial distribution has nothing
    start, end = max(0, int(count * share - spread)), min(count, int(count * share + spread) + 1)
    below, low, tail = 0.0, start, (1 - LEVEL) / 2
    for rank in range(start, end + 1):
        below += math.exp(_log_binomial(count, rank, share))
        if below <= tail:
            low = rank + 1
        if below >= 1 - tail:
            return low, rank + 1
    return low, count + 1


def _log_binomial(of: int, count: int, share: float) -> float:
    ways = math.lgamma(of + 1) - math.lgamma(count + 1) - math.lgamma(of - count + 1)
    return ways + count * math.log(share) + (of - count) * math.log1p(-share)


def _logarithms(interval: Interval) -> Interval:
    low = math.log(interval.low) if interval.low > 0 else -math.inf
    return Interval(math.log(interval.value), low, math.log(interval.high))


def _exp(value: float) -> float:
    return math.inf if value > 700 else math.exp(value)
