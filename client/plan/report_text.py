"""The plan as text: two workers next to each other, the bill line by line, and a burst as rows of blocks."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence

from client.plan.cost import EGRESS, monthly, total
from client.plan.formatting import dollars, file_size, memory, period, rate, seconds
from client.plan.planner import Option, Plan
from client.plan.prices import Prices
from client.plan.simulation import COLD_S, Run
from client.plan.sizing import LEASE_S, Size
from client.plan.workload import Workload

_BLOCKS, _PLAIN = " ▁▂▃▄▅▆▇█", " .:-=+*#@"
_COLUMNS = 48
_TRAVEL = {"message": "in the message", "reference": "by reference", "upload": "uploaded to the bucket"}


def lines(load: Workload, plans: Sequence[Plan], prices: Prices) -> Iterator[str]:
    """Yield the whole report, line by line."""
    yield from _workload(load)
    yield ""
    yield from _row("", [plan.worker.title for plan in plans])
    tables = [_deployment(plan.option) for plan in plans]
    for name in tables[0]:
        yield from _row(name, [table[name] for table in tables])
    yield ""
    yield from _bill(load, plans, prices)
    yield ""
    for plan in plans:
        yield from _verdict(load, plan)
    yield ""
    end = max(plan.option.run.settled_s for plan in plans)
    for plan in plans:
        yield from _chart(plan, end)


def _workload(load: Workload) -> Iterator[str]:
    yield f"load   {load.images_per_day:,.0f} images a day, {file_size(load.image_bytes)} each, {_TRAVEL[load.carrier]}"
    if load.images_per_message > 1:
        yield f"       {load.images_per_message} images in a message (publish --gather {load.gather})"
    if load.burst_s >= load.period_s * 0.999:
        yield f"       all day long, {rate(load.peak_per_s)}/s"
    else:
        bursts = "one burst" if load.bursts_per_day == 1 else f"{load.bursts_per_day} bursts"
        yield f"       {bursts} a day from zero, {period(load.burst_s)} long, {rate(load.peak_per_s)}/s"
    yield f"target 95 % of a burst's images answered within {seconds(load.latency_s)}"


def _row(name: str, cells: Sequence[str]) -> Iterator[str]:
    yield f"{name:<28}" + "".join(f"{cell:>24}" for cell in cells)


def _deployment(option: Option) -> dict[str, str]:
    size, run = option.size, option.run
    warm = size.min_instances >= size.needed
    return {
        "push or pull": size.delivery,
        "instance": f"{size.cpu} vCPU, {memory(size.memory_mib)}",
        "requests at once": f"{size.concurrency:,}",
        "instances": f"{size.needed:,}"
        if size.delivery == "pull"
        else f"{size.min_instances:,} to {size.max_instances:,}",
        "deadlines: request, ack": _deadlines(size),
        "images/s of an instance": rate(size.per_s),
        f"first {COLD_S:.0f} s, p50 and p95": _percentiles(run, run.cold) + (" (warm)" if warm else ""),
        "later, p50 and p95": _percentiles(run, run.warm),
        "images waiting, at most": f"{run.most_waiting:,}",
    }


def _deadlines(size: Size) -> str:
    if size.delivery == "pull" or not size.deadlines:
        return f"lease {LEASE_S} s, extended"
    return "{} s, {} s".format(*size.deadlines)


def _percentiles(run: Run, waits: Counter[int]) -> str:
    return f"{seconds(run.percentile(0.5, waits))}, {seconds(run.percentile(0.95, waits))}" if waits else "-"


def _bill(load: Workload, plans: Sequence[Plan], prices: Prices) -> Iterator[str]:
    yield "USD a month"
    bills = [{line.name: line.gross for line in plan.option.lines} for plan in plans]
    for name in dict.fromkeys(name for bill in bills for name in bill):
        amounts = [bill.get(name, 0) for bill in bills]
        if any(amounts) or name == EGRESS:
            yield from _row(f"  {name}", [dollars(each) for each in amounts])
    gross = [total(plan.option.lines, free_tiers=False) for plan in plans]
    yield from _row("without free tiers", [dollars(each) for each in gross])
    free = [before - plan.option.cost for before, plan in zip(gross, plans, strict=True)]
    yield from _row("  free tiers", [dollars(-each) for each in free])
    yield from _row("to pay", [dollars(plan.option.cost) for plan in plans])
    millions = load.images_per_month / 1e6
    yield from _row("a million images", [dollars(each / millions) for each in gross])
    yield from _row("  with free tiers", [dollars(plan.option.cost / millions) for plan in plans])
    if other := load.gathered_otherwise():
        name = f"  {other.images_per_message} in a message" if other.images_per_message > 1 else "  one in a message"
        otherwise = [monthly(other, plan.option.size, prices) for plan in plans]
        yield from _row(name, [dollars(total(bill, free_tiers=False) / millions) for bill in otherwise])


def _verdict(load: Workload, plan: Plan) -> Iterator[str]:
    yield f"{plan.worker.title}: {plan.reason}"
    if not plan.met:
        yield f"  MISSES the target: 95 % within {seconds(plan.option.latency_s)}; no other size is faster"
    if plan.option.size.delivery == "pull":
        yield "  a pool has a fixed size: only with scale (below) does it follow the backlog and scale to zero"


def _chart(plan: Plan, end_s: float) -> Iterator[str]:
    """Yield backlog and latency from the first image on; a column shows the maximum of its moments."""
    moments = [moment for moment in plan.option.run.moments if moment.at_s <= end_s]
    columns = min(_COLUMNS, len(moments))
    parts = [moments[len(moments) * i // columns : len(moments) * (i + 1) // columns] for i in range(columns)]
    waiting = [max(moment.waiting for moment in part) for part in parts]
    latency = [max(moment.latency_s for moment in part) for part in parts]
    yield f"{plan.worker.title}, {plan.option.size.delivery}, the first {period(moments[-1].at_s)}"
    yield f"  waiting |{_blocks(waiting)}| at most {max(waiting):,}"
    yield f"  latency |{_blocks(latency)}| at most {seconds(max(latency))}"


def _blocks(values: Sequence[float]) -> str:
    blocks = _BLOCKS if "utf" in (sys.stdout.encoding or "").lower() else _PLAIN
    most = max(values) or 1
    # A value above zero has a visible block, however small it is.
    return "".join(blocks[max(1, round(8 * value / most)) if value else 0] for value in values)
