"""The command plan: reads the files, plans for each worker, and writes the results."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from client.cli import options
from client.gcp import UsageError
from functions.messages.contract import MAX_LINES
from model.text import printable

if TYPE_CHECKING:
    from client.plan.planner import Plan
    from client.plan.workload import Carrier, Workload

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(|B|kB|MB)")
_UNITS = {"": 1, "B": 1, "kB": 1_000, "MB": 1_000_000}
_MAX_IMAGE_BYTES = 20_000_000
"""Bytes of the largest image that the worker reads."""

_MAX_PER_DAY = 1_000_000_000
"""Upper bound of --images-per-day. It catches typing errors."""

_MAX_LABELS = 100_000
"""Upper bound of --labels. It catches typing errors."""

_BURSTS = 24
"""Bursts a day where the user gives none: one an hour."""

_FILE = options.FilePath()


class _Bytes(click.ParamType[int]):
    name = "bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = _SIZE.fullmatch(str(value))
        size = float(found[1]) * _UNITS[found[2]] if found else 0
        if not 1 <= size <= _MAX_IMAGE_BYTES:
            self.fail(f"{value} is not a size from 1 to {_MAX_IMAGE_BYTES} bytes, such as 100kB or 2.5MB", param, ctx)
        return int(size)


class _Plan(options.Command):
    """The command as typed before 1.0.0 too: all files after one --bench, which click reads as arguments."""

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [self.options_metavar or ""]


@click.command(
    cls=_Plan,
    epilog="""\b
Exit codes:
  0    a deployment meets the latency target
  1    no deployment meets the latency target
  2    wrong usage
  130  interrupted with Ctrl-C""",
)
@options.option(
    "--images-per-day",
    required=True,
    type=options.Number(1, _MAX_PER_DAY),
    metavar="N",
    help="Images a day, up to 1e9.",
)
@options.option(
    "--peak",
    type=options.Number(1e-5, 1e6),
    metavar="N",
    help="Images per second in a burst.  [default: 3 times the day's mean, at least 1]",
)
@options.option(
    "--bursts",
    type=options.Number(1, 1440, whole=True),
    metavar="N",
    help=f"Bursts a day, evenly spread.  [default: {_BURSTS}]",
)
@options.option(
    "--size", type=_Bytes(), default="40kB", metavar="BYTES", help="Size of an image, such as 2.5MB.  [default: 40kB]"
)
@options.option(
    "--carrier",
    type=click.Choice(["message", "reference", "upload"]),
    help="How images travel.  [default: in the message up to 1 MB, else by reference]",
)
@options.option(
    "--gather",
    type=options.Number(1, MAX_LINES, whole=True),
    default=1,
    metavar="N",
    help="Images that publish --gather puts into a message.  [default: 1]",
)
@options.option(
    "--latency",
    type=options.Number(0.001, 86_400),
    default=10.0,
    metavar="S",
    help="Latency target: 95 % of a burst's images answered within S seconds.  [default: 10]",
)
@options.option(
    "--delivery",
    type=click.Choice(["auto", "push", "pull"]),
    default="auto",
    help="How requests reach the worker.  [default: auto, the cheaper one that meets the target]",
)
@options.option("--bigquery", is_flag=True, help="Include the cost of writing responses to BigQuery.")
@options.option("--response-store", is_flag=True, help="Include the cost of storing each response in a bucket.")
@options.option(
    "--labels",
    type=options.Number(0, _MAX_LABELS, whole=True),
    metavar="N",
    help="Labels of the model, whose scores are metrics; 0 without them (score_metrics = false).  [default: 10]",
)
@options.option(
    "--bench",
    type=_FILE,
    multiple=True,
    metavar="FILE...",
    help="Your own measurements, JSON files.  [default: the shipped ones]",
)
@click.argument("more_bench", nargs=-1, type=_FILE, metavar="")
@options.option("--prices", type=_FILE, metavar="FILE", help="Your own price list, a TOML file.")
@options.option(
    "--seed",
    type=options.Number(0, 2**32, whole=True),
    default=0,
    metavar="N",
    help="Seed of the simulated burst.  [default: 0]",
)
@options.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@options.option("--tfvars", type=_FILE, metavar="FILE", help="Write the variables for infra/ to this file.")
@options.option("--plot", type=_FILE, metavar="FILE", help="Draw the burst to this PNG file (needs matplotlib).")
def plan(
    images_per_day: float,
    peak: float | None,
    bursts: int | None,
    size: int,
    carrier: Carrier | None,
    gather: int,
    latency: float,
    delivery: str,
    bigquery: bool,
    response_store: bool,
    labels: int | None,
    bench: Sequence[Path],
    more_bench: Sequence[Path],
    prices: Path | None,
    seed: int,
    as_json: bool,
    tfvars: Path | None,
    plot: Path | None,
) -> int:
    """Plan a deployment for a workload: its kind, its size, its latency and its monthly cost.

    The plan shows this worker next to the same pipeline with TensorFlow. The workload is bursts from zero, evenly
    spread over the day. Nothing is deployed, and no cloud is called.

    \b
    Example:
      predictions plan --images-per-day 1e6 --size 100kB --latency 5 \\
        --tfvars sizes.tfvars
    """
    import json
    from dataclasses import replace
    from textwrap import fill

    from client.plan import measurements
    from client.plan.cost import total
    from client.plan.performance import DELIVERIES, workers
    from client.plan.planner import plan as plan_for
    from client.plan.prices import SHIPPED, Prices
    from client.plan.report_json import report
    from client.plan.report_text import lines
    from client.plan.scaling import EVERY_MINUTES, scaling
    from client.plan.tfvars import written

    if more_bench and not bench:
        raise click.UsageError(f"{more_bench[0]} is an unexpected argument; files of measurements follow --bench")
    load = workload(images_per_day, peak, bursts, size, carrier, latency)
    load = replace(load, bigquery=bigquery, response_store=response_store, gather=gather)
    load = load if labels is None else replace(load, labels=labels)
    price_list, files = Prices.read(prices or SHIPPED), [*bench, *more_bench]
    rows = measurements.read(files or [measurements.shipped(load.image_bytes)])
    deliveries = tuple(each for each in DELIVERIES if delivery in ("auto", each))
    plans = [plan_for(load, worker, price_list, deliveries, seed) for worker in workers(rows)]
    sources = list(dict.fromkeys(row.source for row in rows.values()))
    if tfvars:
        comment = f"{load.images_per_day:,.0f} images a day, {load.peak_per_s:g}/s at peak: predictions plan"
        _write("--tfvars", tfvars, lambda path: path.write_text(written(plans[0].option.size, comment)))
    if plot:
        from client.plan.plot import draw

        _write("--plot", plot, lambda path: draw(plans, path))
    if as_json:
        print(json.dumps(report(load, plans, price_list, sources)))
        return _code(plans)
    for line in lines(load, plans, price_list):
        print(line.rstrip())
    if not carrier and load.carrier == "message":
        other = plan_for(replace(load, carrier="reference"), plans[0].worker, price_list, deliveries, seed)
        if other.met and other.option.cost < plans[0].option.cost:
            print(f"\nwith images by reference (--carrier reference) this worker would cost ${other.option.cost:,.2f}")
    if plans[0].option.size.delivery == "pull":
        cost = f"a decision every {EVERY_MINUTES} minutes costs ${total(scaling(price_list)):,.2f} a month"
        print(f"\nwith scale (infra/README.md) the pool follows its backlog; {cost}")
    print(f"\nprices of {price_list.date}, 30 days a month; sources and assumptions: {_shown(prices or SHIPPED)}")
    if unverified := [name for name, price in price_list.price.items() if "NOT VERIFIED" in price.source]:
        print(fill(f"not verified among them: {', '.join(unverified)}", 120))
    print(f"measured: {'; '.join(sources)}")
    if not files and load.image_bytes > measurements.LARGE_BYTES:
        print("your images are larger and take longer: measure with some of yours, and give --bench")
    return _code(plans)


def workload(
    images_per_day: float,
    peak: float | None,
    bursts: int | None,
    size: int,
    carrier: Carrier | None,
    latency: float,
) -> Workload:
    """Return the workload of the arguments. Raises UsageError where they contradict each other."""
    from client.plan.workload import Workload, usual_peak
    from client.transport.topic import INLINE_LIMIT

    bursts = bursts or max(1, min(_BURSTS, int(images_per_day)))
    if bursts > images_per_day:
        raise UsageError(f"--bursts is {bursts}; it must be at most --images-per-day, {images_per_day:g}")
    travels: Carrier = carrier or ("message" if size <= INLINE_LIMIT else "reference")
    return Workload(images_per_day, peak or usual_peak(images_per_day), bursts, size, travels, latency)


def _shown(path: Path) -> str:
    """Return a path relative to the current folder if it is below it."""
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
