"""Which delivery, and how large: each way is simulated and priced, and the cheapest that is fast enough is taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from client.gcp import UsageError
from client.plan.cost import Line, monthly, total
from client.plan.load import Load
from client.plan.prices import Prices
from client.plan.simulation import Run, simulate
from client.plan.sizing import Size, sized
from client.plan.worker import DELIVERIES, Delivery, Worker

ENOUGH = 0.95
"""The share of the images that the wish is about."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to deploy a worker, what it costs a month, and how a burst goes."""

    size: Size
    lines: Sequence[Line]
    run: Run

    @property
    def cost(self) -> float:
        """USD a month, free tiers taken off."""
        return total(self.lines)

    @property
    def latency_s(self) -> float:
        """Seconds within which 95 % of a burst's images are answered."""
        return self.run.percentile(ENOUGH)


@dataclass(frozen=True, slots=True)
class Plan:
    """What was chosen for a worker, of which ways, and why. `met`: as fast as wished."""

    worker: Worker
    way: Way
    others: Sequence[Way]
    met: bool
    reason: str


def plan(
    load: Load, worker: Worker, prices: Prices, deliveries: Sequence[Delivery] = DELIVERIES, seed: int = 0
) -> Plan:
    """The cheapest way that is as fast as wished, else the fastest. Raises UsageError when there is none at all."""
    ways = [way for delivery in deliveries if (way := _way(load, worker, prices, delivery, seed))]
    if not ways:
        raise UsageError(
            f"an image takes {worker.title} too long for a push, which lasts 590 s at most: ask for --delivery pull"
        )
    fast = [way for way in ways if way.latency_s <= load.latency_s]
    best = min(fast, key=lambda way: way.cost) if fast else min(ways, key=lambda way: (way.latency_s, way.cost))
    others = [way for way in ways if way is not best]
    return Plan(worker, best, others, bool(fast), _reason(load, best, others, deliveries))


def _way(load: Load, worker: Worker, prices: Prices, delivery: Delivery, seed: int) -> Way | None:
    """The cheapest that is as fast as wished, else the fastest: push instances are kept warm where it takes that."""
    cold = sized(load, worker.deliveries[delivery], delivery, prices.behaviour)
    if delivery == "push" and not cold.deadlines:
        return None
    found = []
    for warm in (0, 1, cold.needed) if delivery == "push" else (0,):
        size = sized(load, worker.deliveries[delivery], delivery, prices.behaviour, warm)
        found.append(Way(size, monthly(load, size, prices), simulate(load, size, prices.behaviour, seed)))
        if found[-1].latency_s <= load.latency_s:
            return found[-1]
    return min(found, key=lambda way: (way.latency_s, way.cost))


def _reason(load: Load, best: Way, others: Sequence[Way], deliveries: Sequence[Delivery]) -> str:
    delivery = best.size.delivery
    if len(deliveries) == 1:
        return f"{delivery}, as asked"
    if not others:
        return "pull: an image takes too long for a push, which lasts 590 s at most"
    (other,) = others
    if best.latency_s <= load.latency_s < other.latency_s:
        return f"{delivery}: by {other.size.delivery}, 95 % would take {other.latency_s:.1f} s"
    if delivery == "push":
        return f"push: a pool, which never sleeps, would cost ${other.cost:,.2f} a month"
    return f"pull: push, which pays for each request and its log entry, would cost ${other.cost:,.2f} a month"
