"""The plan as one JSON object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from client.plan.cost import total
from client.plan.planner import Option, Plan
from client.plan.prices import Prices
from client.plan.workload import Workload

_MAX_MOMENTS = 200
"""Moments of the simulated burst in the output: enough to draw it, and short enough to read."""


def report(load: Workload, plans: Sequence[Plan], prices: Prices, sources: Sequence[str]) -> dict[str, Any]:
    """Return all results; costs are in USD a month, times in seconds."""
    return {
        "load": asdict(load) | {"burst_s": load.burst_s},
        "prices": prices.date,
        "measured": list(sources),
        "plans": [_plan(load, each) for each in plans],
    }


def _plan(load: Workload, plan: Plan) -> dict[str, Any]:
    others = [
        {"delivery": option.size.delivery, "usd": option.cost, "latency_p95_s": option.latency_s}
        for option in plan.others
    ]
    head = {"worker": plan.worker.title, "engine": plan.worker.engine, "met": plan.met, "reason": plan.reason}
    return head | _option(load, plan.option) | {"others": others}


def _option(load: Workload, option: Option) -> dict[str, Any]:
    run, gross, millions = option.run, total(option.lines, free_tiers=False), load.images_per_month / 1e6
    stride = -(-len(run.moments) // _MAX_MOMENTS)
    waits = {"cold": run.cold, "warm": run.warm, "all": run.cold + run.warm}
    return {
        "size": asdict(option.size),
        "latency_s": {
            name: {"p50": run.percentile(0.5, each), "p95": run.percentile(0.95, each)} if each else None
            for name, each in waits.items()
        },
        "bill": [asdict(line) for line in option.lines],
        "usd": {"gross": gross, "free": gross - option.cost, "to_pay": option.cost},
        "usd_per_million": {"gross": gross / millions, "to_pay": option.cost / millions},
        "burst": {"images": run.arrived, "answered": run.answered, "most_waiting": run.most_waiting},
        "moments": [asdict(moment) for moment in run.moments[::stride]],
    }
