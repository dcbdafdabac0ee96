"""The decision: how many instances a worker pool should have. Pure functions of its minutes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from functions.scaling.history import MINUTE_S, Minute, arrivals, backlog

_SPARE = 1.1
"""Messages that the instances which stay must be able to handle, divided by the expected ones: a load that needs three
instances one minute and four the next would otherwise start and stop one all day."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`least` and `most` instances; the minutes in which a backlog is to be handled, and before instances stop."""

    least: int
    most: int
    drain: int
    cooldown: int


def needed(minutes: Sequence[Minute], at: int, per_s: float, limits: Limits, spare: float = 1.0) -> int:
    """Return the instances that a minute with a backlog calls for.

    They handle in `drain` minutes `spare` times the backlog and as many messages as came in the last `drain` minutes.
    """
    messages = spare * (backlog(minutes, at) + arrivals(minutes, at, limits.drain))
    count = ceil(messages / (per_s * limits.drain * MINUTE_S))
    return min(max(count, limits.least), limits.most)


def target(minutes: Sequence[Minute], current: int | None, per_s: float, limits: Limits) -> int:
    """Return the instances that the pool should have; the last minute has a backlog. `current`: None when not known.

    More instances start at once. Instances stop when each minute of the cool-down called for fewer, with some to spare,
    down to the most that one of them called for, and never while the backlog grows or the minutes do not reach back so
    far. The minutes are the only memory.
    """
    sampled = [at for at, minute in enumerate(minutes) if minute.backlog is not None]
    last = sampled[-1]
    kept = max(needed(minutes, at, per_s, limits, _SPARE) for at in sampled if at >= last - limits.cooldown)
    if current is None:
        return kept
    known = sampled[0] <= last - limits.cooldown
    grows = len(sampled) > 1 and backlog(minutes, last) > backlog(minutes, sampled[-2])
    lower = min(current, kept) if known and not grows else current
    wanted = max(lower, needed(minutes, last, per_s, limits))
    return min(max(wanted, limits.least), limits.most)
