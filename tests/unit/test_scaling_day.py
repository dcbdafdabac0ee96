"""A day of a scaled worker pool, simulated with late metrics: it keeps its promises whatever the load is."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import pi, sin

import pytest

from functions.scaling.decision import Limits
from tests.scaled_day import EVERY, LATE, RATE, Day, simulate

LIMITS = Limits(least=0, most=30, drain=10, cooldown=15)
REACTION = EVERY + LATE + 2
"""Minutes until the pool has what it needs: a run, late metrics, the sample itself, and the start of an instance."""

# Messages per second by the hour of the day.
LOADS: dict[str, Callable[[float], float]] = {
    "all day": lambda hour: 70.0,
    "office hours": lambda hour: 120 * max(0.0, sin((hour - 8) / 10 * pi)) if 8 < hour < 18 else 0.0,
    "bursts": lambda hour: 150.0 if hour % 3 < 0.25 else 0.0,
    "bursts on a load": lambda hour: 230.0 if hour % 4 < 0.2 else 30.0,
    "one burst": lambda hour: 400.0 if 3 < hour < 3.5 else 0.0,
    "now and then": lambda hour: 0.005,
    "nothing": lambda hour: 0.0,
}
SEEDS = range(3)


@pytest.fixture(scope="module")
def days() -> dict[tuple[str, int], Day]:
    return {(name, seed): simulate(load, LIMITS, seed) for name, load in LOADS.items() for seed in SEEDS}


@pytest.fixture(params=[(name, seed) for name in LOADS for seed in SEEDS], ids=lambda given: f"{given[0]} {given[1]}")
def day(request: pytest.FixtureRequest, days: dict[tuple[str, int], Day]) -> Day:
    return days[request.param]


def test_every_message_is_handled_within_the_drain_time(day: Day) -> None:
    assert day.longest_wait() <= LIMITS.drain + REACTION
    assert sum(day.arrived) - sum(day.handled) == day.minutes[-1].backlog


def test_the_limits_hold(day: Day) -> None:
    assert {count for count in day.instances if not LIMITS.least <= count <= LIMITS.most} == set()


def test_no_instance_stops_while_the_backlog_grows(day: Day) -> None:
    stops = [change for change in day.changes if change.after < change.before]
    assert [change for change in stops if len(change.seen) > 1 and change.seen[1] > change.seen[0]] == []


def test_a_stop_is_not_regretted(day: Day) -> None:
    """After a stop, instances start again only for messages that came since."""
    for one, other in pairwise(day.changes):
        if one.after < one.before and other.after > other.before:
            begin, end = ((minute - LATE) * 6 for minute in (one.minute, other.minute))
            before, after = sum(day.arrived[begin - 60 : begin]), sum(day.arrived[end - 60 : end])
            assert after > before, (one, other)


def test_an_idle_pool_goes_to_zero(days: dict[tuple[str, int], Day]) -> None:
    for seed in SEEDS:
        idle_after = int(3.5 * 60) + LIMITS.drain + LIMITS.cooldown + REACTION + EVERY
        assert set(days["one burst", seed].instances[idle_after * 6 :]) == {0}
        assert set(days["nothing", seed].instances) == {0}


def test_instances_run_only_where_there_is_work(days: dict[tuple[str, int], Day]) -> None:
    """Instance-hours next to those of a pool of fixed size that handles the same burst as fast."""
    for seed in SEEDS:
        instances = days["one burst", seed].instances
        assert sum(instances) / len(instances) < 0.06 * max(instances)


@pytest.mark.parametrize("per_s", [5, 19, 20, 21, 40, 55, 58, 60, 62, 100, 140])
def test_a_steady_load_has_a_steady_pool(per_s: float) -> None:
    for seed in SEEDS:
        day = simulate(lambda hour: per_s, LIMITS, seed)
        assert len([change for change in day.changes if change.minute > 120]) <= 1
        assert per_s / RATE <= day.instances[-1] <= per_s / RATE * 1.1 + 1


def test_a_maximum_that_is_too_small_holds_and_catches_up() -> None:
    limits = Limits(least=1, most=3, drain=10, cooldown=15)
    day = simulate(LOADS["bursts"], limits, 0)
    assert set(day.instances) == {1, 2, 3} or set(day.instances) == {1, 3}
    assert day.longest_wait() > limits.drain + REACTION
    assert sum(day.arrived) - sum(day.handled) < 150 * 900


def test_the_pool_measures_its_own_rate() -> None:
    """What was given is four times too much or too little; the first busy minutes correct it."""
    for given in (RATE * 4, RATE / 4):
        day = simulate(LOADS["bursts on a load"], LIMITS, 0, given=given)
        right = simulate(LOADS["bursts on a load"], LIMITS, 0)
        assert sum(day.instances[3600:]) == pytest.approx(sum(right.instances[3600:]), rel=0.05)


def test_without_a_rate_nothing_changes() -> None:
    day = simulate(LOADS["all day"], LIMITS, 0, minutes=120, given=None)
    assert set(day.instances) == {0} and day.changes == []
