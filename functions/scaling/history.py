"""The minutes of a worker pool: its backlog, what it handled, and the rate that these show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

MINUTE_S = 60

_LATEST = 30
"""Busy minutes that a rate is measured over: the latest ones, so that a new model counts within half an hour."""

_LEAST = 3
"""Busy minutes below which there is no measured rate: in one minute an instance may have been starting."""


@dataclass(frozen=True, slots=True)
class Minute:
    """One minute. `backlog`: unacked messages at its end, None without a sample. `acked`: messages handled in it.

    `instance_s`: seconds of all instances that were billed in it, None without a sample.
    """

    backlog: float | None
    acked: float
    instance_s: float | None


@dataclass(frozen=True, slots=True)
class Rate:
    """Messages per second of one instance, and the number of busy minutes that it was measured over: 0 when given."""

    per_s: float
    minutes: int = 0


def measured_rate(minutes: Sequence[Minute]) -> Rate | None:
    """Return the median rate of the latest busy minutes, or None when there were too few.

    A minute is busy when more messages waited at its beginning than were handled in it: no instance was idle. Idle
    minutes say nothing about the rate, because they show how many messages came.
    """
    busy = [
        now.acked / now.instance_s
        for before, now in pairwise(minutes)
        if before.backlog is not None and before.backlog > now.acked > 0 and now.instance_s
    ][-_LATEST:]
    return Rate(median(busy), len(busy)) if len(busy) >= _LEAST else None


def arrivals(minutes: Sequence[Minute], at: int, span: int) -> float:
    """Return how many messages came in the `span` minutes up to the minute `at`, which has a backlog.

    They are those that were handled, and those by which the backlog grew. Where the first samples are missing, the
    mean of the others stands for them.
    """
    first = next(each for each in range(max(0, at - span), at + 1) if minutes[each].backlog is not None)
    if first == at:
        return 0.0
    acked = sum(each.acked for each in minutes[first + 1 : at + 1])
    came = acked + backlog(minutes, at) - backlog(minutes, first)
    # A purge or an expiry lowers the backlog without an ack.
    return max(0.0, came) * span / (at - first)


def backlog(minutes: Sequence[Minute], at: int) -> float:
    """Return the backlog at the end of a minute that has a sample."""
    found = minutes[at].backlog
    assert found is not None, at
    return found
