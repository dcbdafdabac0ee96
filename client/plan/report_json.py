"""The plan as one JSON object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from client.plan.cost import Line, monthly, total
from client.plan.planner import Option, Plan
from client.plan.prices import Prices
from client.plan.workload import Workload

_MAX_MOMENTS = 200
"""Moments of the simulated burst in the output: enough to draw it, and short enough to read."""


def report(load: Workload, plans: Sequence[Plan], prices: Prices, sources: Sequence[str]) -> dict[str, Any]:
    """Return all results; costs are in USD a month, times in seconds."""
    return {
        "load": asdict(load) | {"burst_s": load.burst_s, "images_per_message": load.images_per_message},
        "prices": prices.date,
        "measured": list(sources),
        "plans": [_plan(load, each, prices) for each in plans],
    }


def _plan(load: Workload, plan: Plan, prices: Prices) -> dict[str, Any]:
    others = [
        {"delivery": option.size.delivery, "usd": option.cost, "latency_p95_s": option.latency_s}
        for option in plan.others
    ]
    head = {"worker": plan.worker.title, "engine": plan.worker.engine, "met": plan.met, "reason": plan.reason}
    return head | _option(load, plan.option) | {"gathered_otherwise": _otherwise(load, plan, prices), "others": others}


def _otherwise(load: Workload, plan: Plan, prices: Prices) -> dict[str, Any] | None:
    """Return the cost with several images in a message, or with one if the load has several; None where none can be."""
    if not (other := load.gathered_otherwise()):
        return None
    usd = _usd(other, monthly(other, plan.option.size, prices))
    return {"images_per_message": other.images_per_message, **usd}


def _usd(load: Workload, bill: Sequence[Line]) -> dict[str, dict[str, float]]:
    """Return a bill's sums: of a month, and of a million images."""
    gross, to_pay, millions = total(bill, free_tiers=False), total(bill), load.images_per_month / 1e6
    return {
        "usd": {"gross": gross, "free": gross - to_pay, "to_pay": to_pay},
        "usd_per_million": {"gross": gross / millions, "to_pay": to_pay / millions},
    }


def _option(load: Workload, option: Option) -> dict[str, Any]:
    run = option.run
    stride = -(-len(run.moments) // _MAX_MOMENTS)
    waits = {"cold": run.cold, "warm": run.warm, "all": run.cold + run.warm}
    return {
        "size": asdict(option.size),
        "latency_s": {
            name: {"p50": run.percentile(0.5, each), "p95": run.percentile(0.95, each)} if each else None
            for name, each in waits.items()
        },
        "bill": [asdict(line) for line in option.lines],
        **_usd(load, option.lines),
        "burst": {"images": run.arrived, "answered": run.answered, "most_waiting": run.most_waiting},
        "moments": [asdict(moment) for moment in run.moments[::stride]],
    }
