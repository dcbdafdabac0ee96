"""A day of a worker pool that is scaled: arrivals, a queue, instances that start late, and metrics that come late."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random

from functions.scaling.decision import Limits, target
from functions.scaling.history import MINUTE_S, Minute, Rate, measured_rate

STEP_S = 10
"""Seconds of a step of the simulation."""

EVERY, LATE = 5, 3
"""Minutes between two runs, and until a sample is visible."""

START_S = 20
"""Seconds until an instance handles its first message."""

RATE = 20.0
"""Messages per second of one instance, on average."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the instance count, and the last two backlogs that were visible then."""

    minute: int
    before: int
    after: int
    seen: tuple[float, ...]


@dataclass(slots=True)
class Day:
    """What happened: by step, by minute, and the changes."""

    instances: list[int] = field(default_factory=list)
    arrived: list[int] = field(default_factory=list)
    handled: list[int] = field(default_factory=list)
    minutes: list[Minute] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)

    def longest_wait(self) -> float:
        """Minutes that the message waited that waited longest; the queue is first in, first out."""
        came, gone, at, longest = list(accumulate(self.arrived)), list(accumulate(self.handled)), 0, 0
        for step, total in enumerate(came):
            while at < len(gone) and gone[at] < total:
                at += 1
            longest = max(longest, at - step)
        return longest * STEP_S / MINUTE_S


def simulate(
    per_s: Callable[[float], float], limits: Limits, seed: int, minutes: int = 1440, given: float | None = RATE
) -> Day:
    """Run a day. `per_s`: messages per second at an hour of the day; `given`: the rate until one is measured."""
    random, day, count, backlog = Random(seed), Day(), limits.least, 0
    starting: list[int] = []  # the steps at which further instances are ready
    for minute in range(minutes):
        acked = 0
        if minute % EVERY == 0 and minute > LATE:
            count_now = _decided(day, count, limits, given)
            ready = len(day.instances) + START_S // STEP_S
            starting = starting[: max(0, count_now - count + len(starting))] + [ready] * max(0, count_now - count)
            count = count_now
        for _ in range(MINUTE_S // STEP_S):
            step = len(day.instances)
            working = count - sum(ready > step for ready in starting)
            came = _poisson(random, per_s(minute / 60) * STEP_S)
            done = min(backlog + came, round(working * RATE * STEP_S * random.uniform(0.9, 1.1)))
            backlog, acked = backlog + came - done, acked + done
            day.instances.append(count)
            day.arrived.append(came)
            day.handled.append(done)
        day.minutes.append(Minute(backlog, acked, count * MINUTE_S))
    return day


def _decided(day: Day, count: int, limits: Limits, given: float | None) -> int:
    seen = day.minutes[: len(day.minutes) - LATE]
    rate = measured_rate(seen) or (Rate(given) if given else None)
    if not seen or rate is None:
        return count
    after = target(seen, count, rate.per_s, limits)
    if after != count:
        latest = tuple(each.backlog for each in seen[-2:] if each.backlog is not None)
        day.changes.append(Change(len(day.minutes), count, after, latest))
    return after


def _poisson(random: Random, mean: float) -> int:
    if mean > 30:
        return max(0, round(random.gauss(mean, mean**0.5)))
    count, time = 0, random.expovariate(1)
    while time < mean:
        count, time = count + 1, time + random.expovariate(1)
    return count
