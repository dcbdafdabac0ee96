"""The intervals and the test of `predictions compare`: published values, and coverage in simulations."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.verdicts import statistics as stats
from client.verdicts.statistics import Interval


def near(found: Interval | None, low: float, high: float, within: float = 6e-5) -> bool:
    assert found is not None
    return found.low == pytest.approx(low, abs=within) and found.high == pytest.approx(high, abs=within)


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_as_newcombe_1998_table_1_has_it(count: int, of: int, low: float, high: float) -> None:
    assert near(stats.proportion(count, of), low, high)


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        ((48, 80), (56, 70), 0.0524, 0.3339),
        ((3, 10), (9, 10), 0.1705, 0.8090),
        ((2, 7), (6, 7), 0.0582, 0.8062),
        ((0, 29), (5, 56), -0.0381, 0.1926),
        ((0, 20), (0, 10), -0.1611, 0.2775),
        ((0, 10), (10, 10), 0.6075, 1.0),
    ],
)
def test_differences_as_newcombe_1998_table_2_has_them(
    first: tuple[int, int], second: tuple[int, int], low: float, high: float
) -> None:
    assert near(stats.difference(stats.proportion(*first), stats.proportion(*second)), low, high)


def test_paired_differences_as_published() -> None:
    # Newcombe 1998 (2635-2650), and Fagerland, Lydersen and Laake 2014 on airway hyper-responsiveness.
    assert near(stats.paired_difference(36, 2, 12, 0), 0.0569, 0.3404)
    assert near(stats.paired_difference(1, 7, 1, 12), -0.507, -0.026, within=6e-4)


def test_mcnemar_as_published() -> None:
    assert stats.mcnemar(1, 7) == pytest.approx(0.0703, abs=5e-5)  # Fagerland and others 2014: 0.070
    assert stats.mcnemar(0, 0) == stats.mcnemar(4, 4) == 1.0
    assert stats.mcnemar(59, 121) == pytest.approx(4.4e-6, rel=0.05)  # a large sample, by the normal approximation
    assert 0 < stats.mcnemar(20_000, 20_800) < 1e-3


@pytest.mark.parametrize(("count", "low", "high"), [(10, 2, 9), (20, 6, 15), (30, 10, 21), (50, 18, 33), (100, 40, 61)])
def test_the_interval_of_a_median_has_the_ranks_of_the_tables(count: int, low: int, high: int) -> None:
    # Altman and others, Statistics with Confidence, table 18.4.
    found = stats.quantile([float(rank) for rank in range(count, 0, -1)], 0.5)
    assert (found.low, found.high) == (low, high)


def test_a_quantile_without_enough_values_is_open() -> None:
    found = stats.quantile([1.0, 2.0, 3.0], 0.95)
    assert found == Interval(3.0, 2.0, math.inf)
    ratio = stats.ratio(found, Interval(2, 1, 3))
    assert ratio is not None
    assert ratio.low == 0.0
    assert ratio.value == pytest.approx(2 / 3)
    assert ratio.high == pytest.approx(2 / 3 * math.exp(math.sqrt(2) * math.log(1.5)))
    assert stats.ratio(Interval(0, 0, 0), found) is None


@pytest.mark.parametrize(("values", "t"), [(5, 2.776), (6, 2.571), (11, 2.228), (31, 2.042), (121, 1.980)])
def test_the_interval_of_a_mean_has_the_t_of_the_tables(values: int, t: float) -> None:
    numbers = [float(number) for number in range(values)]
    middle, error = (values - 1) / 2, math.sqrt(values * (values + 1) / 12 / values)
    found = stats.mean(numbers)
    assert found and found.value == middle and (found.high - middle) / error == pytest.approx(t, rel=0.003)


def test_welch_as_published() -> None:
    # Moore and McCabe, directed reading activities: t = 2.31 at 37.9 degrees of freedom, 1.23 to 18.68.
    treated = [24, 43, 58, 71, 43, 49, 61, 44, 67, 49, 53, 56, 59, 52, 62, 54, 57, 33, 46, 43, 57]
    control = [42, 43, 55, 26, 62, 37, 33, 41, 19, 54, 20, 85, 46, 10, 17, 60, 53, 42, 37, 42, 55, 28, 48]
    assert near(stats.mean_difference(control, treated), 1.23, 18.68, within=0.006)
    assert stats.mean_difference(control, treated[:4]) is None


@given(st.integers(1, 2_000), st.floats(0, 1), st.floats(0, 1))
def test_an_interval_holds_its_value_and_shrinks_with_more_images(of: int, share: float, other: float) -> None:
    few, many = (stats.proportion(share * of * scale, of * scale) for scale in (1, 100))
    moved = stats.difference(few, stats.proportion(other * of, of))
    assert 0 <= few.low <= few.value <= few.high <= 1 and -1 - 1e-9 <= moved.low <= moved.high <= 1 + 1e-9
    assert many.high - many.low < few.high - few.low


@given(st.lists(st.integers(0, 500), min_size=4, max_size=4).filter(any))
def test_the_other_order_turns_a_paired_difference_round(counts: list[int]) -> None:
    both, first, second, neither = counts
    there, back = stats.paired_difference(*counts), stats.paired_difference(both, second, first, neither)
    assert (there.value, there.low, there.high) == pytest.approx((-back.value, -back.high, -back.low))
    assert -1 - 1e-9 <= there.low <= there.value <= there.high <= 1 + 1e-9


def covered(draw: Callable[[random.Random], Interval | None], truth: float, runs: int = 1_500) -> float:
    """The share of simulated intervals that cover the truth."""
    chance, inside = random.Random(20_261_129), 0
    for _ in range(runs):
        found = draw(chance)
        assert found is not None
        inside += found.low <= truth <= found.high
    return inside / runs


def _proportion(chance: random.Random) -> Interval:
    return stats.proportion(sum(chance.random() < 0.97 for _ in range(200)), 200)


def _paired(chance: random.Random) -> Interval:
    kinds = chance.choices(range(4), (0.85, 0.06, 0.04, 0.05), k=200)
    return stats.paired_difference(*(kinds.count(kind) for kind in range(4)))


def _independent(chance: random.Random) -> Interval:
    first, second = (
        stats.proportion(sum(chance.random() < share for _ in range(of)), of) for share, of in ((0.1, 300), (0.2, 90))
    )
    return stats.difference(first, second)


def _latency(chance: random.Random) -> Interval | None:
    sides = [[chance.lognormvariate(math.log(middle), 0.5) for _ in range(150)] for middle in (2.0, 3.0)]
    return stats.ratio(*(stats.quantile(side, 0.5) for side in sides))


def _tail(chance: random.Random) -> Interval:
    return stats.quantile([chance.random() for _ in range(300)], 0.95)


def _shift(chance: random.Random) -> Interval | None:
    return stats.mean_difference(
        [chance.betavariate(9, 1) for _ in range(60)], [chance.betavariate(8, 2) for _ in range(25)]
    )


@pytest.mark.parametrize(
    ("draw", "truth", "most"),
    [
        (_proportion, 0.97, 0.98),
        (_paired, -0.02, 0.98),
        (_independent, 0.1, 0.98),
        (_latency, 1.5, 0.985),
        (_tail, 0.95, 0.98),
        (_shift, -0.1, 0.98),
    ],
)
def test_an_interval_covers_the_truth_at_about_its_level(
    draw: Callable[[random.Random], Interval | None], truth: float, most: float
) -> None:
    # 1,500 runs: three standard errors are 1.7 %.
    assert 0.933 <= covered(draw, truth) <= most
