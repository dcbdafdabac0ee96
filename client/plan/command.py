"""`python -m client plan`: read, plan for each shape, write what was asked for."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from client.gcp import UsageError
from client.plan import bench
from client.plan.choice import Plan, plan
from client.plan.grammar import load_of
from client.plan.plot import draw
from client.plan.prices import Prices
from client.plan.record import record
from client.plan.text import lines
from client.plan.tfvars import written
from client.plan.worker import DELIVERIES, workers
from client.text import printable


def run_plan(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Plan; gives 1 when our worker cannot be as fast as wished."""
    load, prices = load_of(args), Prices.read(args.prices)
    rows = bench.read(args.bench or [bench.shipped(load.image_bytes)])
    deliveries = DELIVERIES if args.delivery == "auto" else (args.delivery,)
    plans = [plan(load, worker, prices, deliveries, args.seed) for worker in workers(rows)]
    sources = list(dict.fromkeys(row.source for row in rows.values()))
    if args.tfvars:
        said = f"{load.images_per_day:,.0f} images a day, {load.peak_per_s:g}/s at peak: python -m client plan"
        _write("--tfvars", args.tfvars, lambda path: path.write_text(written(plans[0].way.size, said)))
    if args.plot:
        _write("--plot", args.plot, lambda path: draw(plans, path))
    if args.json:
        print(json.dumps(record(load, plans, prices, sources)))
        return _code(plans)
    for line in lines(load, plans):
        print(line.rstrip())
    if not args.carrier and load.carrier == "message":
        other = plan(replace(load, carrier="reference"), plans[0].worker, prices, deliveries, args.seed)
        if other.met and other.way.cost < plans[0].way.cost:
            print(f"\nwith images by reference (--carrier reference) this worker would cost ${other.way.cost:,.2f}")
    print(f"\nprices of {prices.date}, 30 days a month; sources and assumptions: {_near(args.prices)}")
    if unsure := [name for name, price in prices.price.items() if "NOT VERIFIED" in price.source]:
        print(f"not verified among them: {', '.join(unsure)}")
    print(f"measured: {'; '.join(sources)}")
    if not args.bench and load.image_bytes > bench.LARGE_BYTES:
        print("your images are larger and take longer: measure with some of yours, and give --bench")
    return _code(plans)


def _near(path: Path) -> str:
    """As seen from the current folder, where it lies below."""
    here = Path.cwd()
    return printable(str(path.relative_to(here) if path.is_relative_to(here) else path))


def _write(flag: str, path: Path, write: Callable[[Path], object]) -> None:
    try:
        write(path)
    except OSError as exc:
        raise UsageError(f"{flag} cannot be written to {printable(str(path))}: {exc.strerror}") from None
    print(f"{flag} is written to {printable(str(path))}", file=sys.stderr)


def _code(plans: Sequence[Plan]) -> int:
    return 0 if plans[0].met else 1
