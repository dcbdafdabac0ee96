"""Chooses delivery and size: simulates and prices each option, and takes the cheapest that meets the latency target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from client.gcp import UsageError
from client.plan.cost import Line, monthly, total
from client.plan.performance import DELIVERIES, Delivery, Worker
from client.plan.prices import Prices
from client.plan.simulation import Run, simulate
from client.plan.sizing import Size, sized
from client.plan.workload import Workload

TARGET_SHARE = 0.95
"""The share of a burst's images that the latency target applies to."""


@dataclass(frozen=True, slots=True)
class Option:
    """One way to deploy a worker, its monthly cost, and its simulated burst."""

    size: Size
    lines: Sequence[Line]
    run: Run

    @property
    def cost(self) -> float:
        """USD a month after the free tiers."""
        return total(self.lines)

    @property
    def latency_s(self) -> float:
        """Seconds within which TARGET_SHARE of a burst's images are answered."""
        return self.run.percentile(TARGET_SHARE)


@dataclass(frozen=True, slots=True)
class Plan:
    """The chosen option for a worker, the others, and the reason. `met`: whether it meets the latency target."""

    worker: Worker
    option: Option
    others: Sequence[Option]
    met: bool
    reason: str


def plan(
    load: Workload, worker: Worker, prices: Prices, deliveries: Sequence[Delivery] = DELIVERIES, seed: int = 0
) -> Plan:
    """Return the cheapest option that meets the target, else the fastest. Raises UsageError when no option exists."""
    options = [found for delivery in deliveries if (found := _option(load, worker, prices, delivery, seed))]
    if not options:
        raise UsageError(
            f"an image takes {worker.title} too long for a push, which lasts 590 s at most: use --delivery pull"
        )
    fast = [option for option in options if option.latency_s <= load.latency_s]
    best = min(fast, key=lambda each: each.cost) if fast else min(options, key=lambda each: (each.latency_s, each.cost))
    others = [option for option in options if option is not best]
    return Plan(worker, best, others, bool(fast), _reason(load, best, others, deliveries))


def _option(load: Workload, worker: Worker, prices: Prices, delivery: Delivery, seed: int) -> Option | None:
    """Return a delivery's cheapest option that meets the target, else its fastest.

    Tries push without warm instances, with one, and with as many as the peak needs.
    """
    cold = sized(load, worker.deliveries[delivery], delivery, prices.behaviour)
    if delivery == "push" and not cold.deadlines:
        return None
    found = []
    for warm in (0, 1, cold.needed) if delivery == "push" else (0,):
        size = sized(load, worker.deliveries[delivery], delivery, prices.behaviour, warm)
        found.append(Option(size, monthly(load, size, prices), simulate(load, size, prices.behaviour, seed)))
        if found[-1].latency_s <= load.latency_s:
            return found[-1]
    return min(found, key=lambda option: (option.latency_s, option.cost))


def _reason(load: Workload, best: Option, others: Sequence[Option], deliveries: Sequence[Delivery]) -> str:
    delivery = best.size.delivery
    if len(deliveries) == 1:
        return f"{delivery}, as given"
    if not others:
        return "pull: an image takes too long for a push, which lasts 590 s at most"
    (other,) = others
    if best.latency_s <= load.latency_s < other.latency_s:
        return f"{delivery}: by {other.size.delivery}, 95 % would take {other.latency_s:.1f} s"
    if delivery == "push":
        return f"push: a pool, which runs all the time, would cost ${other.cost:,.2f} a month"
    return f"pull: push, which pays for each request and its log entry, would cost ${other.cost:,.2f} a month"
