"""The plan for machines: one JSON object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from client.plan.choice import Plan, Way
from client.plan.cost import total
from client.plan.load import Load
from client.plan.prices import Prices

_MOST_MOMENTS = 200


def record(load: Load, plans: Sequence[Plan], prices: Prices, sources: Sequence[str]) -> dict[str, Any]:
    """Everything that was found; costs in USD a month, times in seconds."""
    return {
        "load": asdict(load) | {"burst_s": load.burst_s},
        "prices": prices.date,
        "measured": list(sources),
        "plans": [_plan(load, each) for each in plans],
    }


def _plan(load: Load, plan: Plan) -> dict[str, Any]:
    others = [{"delivery": way.size.delivery, "usd": way.cost, "latency_p95_s": way.latency_s} for way in plan.others]
    said = {"worker": plan.worker.title, "engine": plan.worker.engine, "met": plan.met, "reason": plan.reason}
    return said | _way(load, plan.way) | {"others": others}


def _way(load: Load, way: Way) -> dict[str, Any]:
    run, gross, millions = way.run, total(way.lines, free_tiers=False), load.images_per_month / 1e6
    stride = -(-len(run.moments) // _MOST_MOMENTS)
    waits = {"cold": run.cold, "warm": run.warm, "all": run.cold + run.warm}
    return {
        "size": asdict(way.size),
        "latency_s": {
            name: {"p50": run.percentile(0.5, each), "p95": run.percentile(0.95, each)} if each else None
            for name, each in waits.items()
        },
        "bill": [asdict(line) for line in way.lines],
        "usd": {"gross": gross, "free": gross - way.cost, "to_pay": way.cost},
        "usd_per_million": {"gross": gross / millions, "to_pay": way.cost / millions},
        "burst": {"images": run.arrived, "answered": run.answered, "most_waiting": run.most_waiting},
        "moments": [asdict(moment) for moment in run.moments[::stride]],
    }
