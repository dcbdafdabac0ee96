"""The plan for people: two shapes side by side, the bill line by line, a burst as rows of blocks."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence

from client.plan.choice import Plan, Way
from client.plan.cost import EGRESS, total
from client.plan.load import Load
from client.plan.simulation import COLD_S, Run
from client.plan.sizing import LEASE_S, Size
from client.plan.units import count, dollars, memory, seconds, size_of, spell

_BLOCKS, _PLAIN = " ▁▂▃▄▅▆▇█", " .:-=+*#@"
_COLUMNS = 48
_CARRIED = {"message": "in the message", "reference": "by reference", "upload": "dropped in the bucket"}


def lines(load: Load, plans: Sequence[Plan]) -> Iterator[str]:
    """Everything there is to say of the plans, line by line."""
    yield from _wanted(load)
    yield ""
    yield from _row("", [plan.worker.title for plan in plans])
    tables = [_deployment(plan.way) for plan in plans]
    for name in tables[0]:
        yield from _row(name, [table[name] for table in tables])
    yield ""
    yield from _bill(load, plans)
    yield ""
    for plan in plans:
        yield from _verdict(load, plan)
    yield ""
    end = max(plan.way.run.settled_s for plan in plans)
    for plan in plans:
        yield from _chart(plan, end)


def _wanted(load: Load) -> Iterator[str]:
    yield f"load   {load.images_per_day:,.0f} images a day, {size_of(load.image_bytes)} each, {_CARRIED[load.carrier]}"
    if load.burst_s >= load.period_s * 0.999:
        yield f"       all day long, {count(load.peak_per_s)}/s"
    else:
        bursts = "one burst" if load.bursts_per_day == 1 else f"{load.bursts_per_day} bursts"
        yield f"       {bursts} a day from zero, {spell(load.burst_s)} long, {count(load.peak_per_s)}/s"
    yield f"wish   95 % of a burst's images answered within {seconds(load.latency_s)}"


def _row(name: str, cells: Sequence[str]) -> Iterator[str]:
    yield f"{name:<28}" + "".join(f"{cell:>24}" for cell in cells)


def _deployment(way: Way) -> dict[str, str]:
    size, run = way.size, way.run
    awake = size.min_instances >= size.needed
    return {
        "push or pull": size.delivery,
        "instance": f"{size.cpu} vCPU, {memory(size.memory_mib)}",
        "requests at once": f"{size.concurrency:,}",
        "instances": f"{size.needed:,}"
        if size.delivery == "pull"
        else f"{size.min_instances:,} to {size.max_instances:,}",
        "deadlines: request, ack": _deadlines(size),
        "images/s of an instance": count(size.per_s),
        f"first {COLD_S:.0f} s, p50 and p95": _percentiles(run, run.cold) + (" (warm)" if awake else ""),
        "later, p50 and p95": _percentiles(run, run.warm),
        "images waiting, at most": f"{run.most_waiting:,}",
    }


def _deadlines(size: Size) -> str:
    if size.delivery == "pull" or not size.deadlines:
        return f"lease {LEASE_S} s, extended"
    return "{} s, {} s".format(*size.deadlines)


def _percentiles(run: Run, waits: Counter[int]) -> str:
    return f"{seconds(run.percentile(0.5, waits))}, {seconds(run.percentile(0.95, waits))}" if waits else "-"


def _bill(load: Load, plans: Sequence[Plan]) -> Iterator[str]:
    yield "USD a month"
    bills = [{line.name: line.gross for line in plan.way.lines} for plan in plans]
    for name in dict.fromkeys(name for bill in bills for name in bill):
        amounts = [bill.get(name, 0) for bill in bills]
        if any(amounts) or name == EGRESS:
            yield from _row(f"  {name}", [dollars(each) for each in amounts])
    gross = [total(plan.way.lines, free_tiers=False) for plan in plans]
    yield from _row("without free tiers", [dollars(each) for each in gross])
    free = [before - plan.way.cost for before, plan in zip(gross, plans, strict=True)]
    yield from _row("  free tiers", [dollars(-each) for each in free])
    yield from _row("to pay", [dollars(plan.way.cost) for plan in plans])
    millions = load.images_per_month / 1e6
    yield from _row("a million images", [dollars(each / millions) for each in gross])
    yield from _row("  with free tiers", [dollars(plan.way.cost / millions) for plan in plans])


def _verdict(load: Load, plan: Plan) -> Iterator[str]:
    yield f"{plan.worker.title}: {plan.reason}"
    if not plan.met:
        yield f"  NOT as fast as wished: 95 % within {seconds(plan.way.latency_s)}; nothing that was tried is faster"
    if plan.way.size.delivery == "pull":
        yield "  a pool neither follows the backlog nor goes to zero"


def _chart(plan: Plan, end_s: float) -> Iterator[str]:
    """Backlog and latency from the first image on; a column is the highest of its moments."""
    moments = [moment for moment in plan.way.run.moments if moment.at_s <= end_s]
    columns = min(_COLUMNS, len(moments))
    parts = [moments[len(moments) * i // columns : len(moments) * (i + 1) // columns] for i in range(columns)]
    waiting = [max(moment.waiting for moment in part) for part in parts]
    latency = [max(moment.latency_s for moment in part) for part in parts]
    yield f"{plan.worker.title}, {plan.way.size.delivery}, the first {spell(moments[-1].at_s)}"
    yield f"  waiting |{_blocks(waiting)}| at most {max(waiting):,}"
    yield f"  latency |{_blocks(latency)}| at most {seconds(max(latency))}"


def _blocks(values: Sequence[float]) -> str:
    blocks = _BLOCKS if "utf" in (sys.stdout.encoding or "").lower() else _PLAIN
    most = max(values) or 1
    # What is there is seen, however little it is.
    return "".join(blocks[max(1, round(8 * value / most)) if value else 0] for value in values)
