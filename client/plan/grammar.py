"""What may be typed after `plan`, and the load that it stands for."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path

from client.gcp import UsageError
from client.plan import prices
from client.plan.load import CARRIERS, MOST_A_DAY, Carrier, Load, usual_peak
from client.plan.worker import DELIVERIES
from client.transport.topic import INLINE_LIMIT

DESCRIPTION = """\
Say how to deploy the worker for a load, how long answers will take and what a month costs, beside the same pipeline
with TensorFlow in it. The load is bursts from zero, evenly over the day. Nothing is deployed and no cloud is asked.

example:
  python -m client plan --images-per-day 1e6 --size 100kB --latency 5 --tfvars infra/plan.auto.tfvars
"""
EXIT = "exit code: 0 planned, 1 no deployment is as fast as wished, 2 wrong usage"

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(|B|kB|MB)")
_UNITS = {"": 1, "B": 1, "kB": 1_000, "MB": 1_000_000}
_LARGEST = 20_000_000
_BURSTS = 24


def add(command: argparse.ArgumentParser) -> None:
    """Give the command its arguments."""
    command.add_argument("--images-per-day", required=True, type=_number(1, MOST_A_DAY), metavar="N", help="up to 1e9")
    command.add_argument(
        "--peak",
        type=_number(1e-5, 1e6),
        metavar="N",
        help="images/s in a burst (default: 3 times the day's mean, at least 1)",
    )
    command.add_argument(
        "--bursts",
        type=_number(1, 1440, whole=True),
        metavar="N",
        help=f"bursts a day, evenly spread (default {_BURSTS})",
    )
    command.add_argument(
        "--size", type=_bytes, default=40_000, metavar="BYTES", help="of an image, such as 2.5MB (default 40kB)"
    )
    command.add_argument(
        "--carrier", choices=CARRIERS, help="how images come (default: in the message up to 1 MB, else by reference)"
    )
    command.add_argument(
        "--latency",
        type=_number(0.001, 86_400),
        default=10.0,
        metavar="S",
        help="the wish: 95 %% of the images of a burst answered within S seconds (default 10)",
    )
    command.add_argument(
        "--delivery",
        choices=("auto", *DELIVERIES),
        default="auto",
        help="default: the cheaper that is fast enough",
    )
    command.add_argument("--bigquery", action="store_true", help="responses also go to BigQuery")
    command.add_argument(
        "--bench",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="your own measurements (JSON; default: those that are shipped)",
    )
    command.add_argument(
        "--prices", type=Path, default=prices.SHIPPED, metavar="FILE", help="a price list of your own (TOML)"
    )
    command.add_argument(
        "--seed", type=_number(0, 2**32, whole=True), default=0, metavar="N", help="of the simulated burst (default 0)"
    )
    command.add_argument("--json", action="store_true", help="the plan as JSON")
    command.add_argument("--tfvars", type=Path, metavar="FILE", help="write what this worker needs for infra/")
    command.add_argument("--plot", type=Path, metavar="FILE", help="draw the burst to a PNG file (needs matplotlib)")


def load_of(args: argparse.Namespace) -> Load:
    """The load that was asked for. Raises UsageError where its parts do not fit together."""
    images = args.images_per_day
    bursts = args.bursts or max(1, min(_BURSTS, int(images)))
    if bursts > images:
        raise UsageError(f"--bursts is {bursts}; it must be at most --images-per-day, {images:g}")
    carrier: Carrier = args.carrier or ("message" if args.size <= INLINE_LIMIT else "reference")
    return Load(images, args.peak or usual_peak(images), int(bursts), args.size, carrier, args.latency, args.bigquery)


def _number(least: float, most: float, *, whole: bool = False) -> Callable[[str], float]:
    kind = "whole number" if whole else "number"

    def read(text: str) -> float:
        number = float(text)
        if not least <= number <= most or (whole and number != int(number)):
            raise argparse.ArgumentTypeError(f"{text} is not a {kind} from {least:g} to {most:,.0f}")
        return int(number) if whole else number

    read.__name__ = kind  # argparse says "invalid <name> value"
    return read


def _bytes(text: str) -> int:
    found = _SIZE.fullmatch(text)
    size = float(found[1]) * _UNITS[found[2]] if found else 0
    if not 1 <= size <= _LARGEST:
        raise argparse.ArgumentTypeError(f"{text} is not a size from 1 to {_LARGEST} bytes, such as 100kB or 2.5MB")
    return int(size)
