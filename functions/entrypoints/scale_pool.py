"""Scaling: `python -m functions.entrypoints.scale_pool` sets a worker pool's instance count from its backlog, once.

Terraform's variable `scale` adds a Cloud Run job that runs this command every few minutes. `predictions scale` is the
same command.
"""

from __future__ import annotations

import argparse
import logging
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite

from functions.observability.json_logging import configure
from functions.scaling.decision import Limits, needed, target
from functions.scaling.google_api import ApiError, GoogleApi
from functions.scaling.history import Rate, backlog, measured_rate
from functions.scaling.monitoring import read_minutes
from functions.scaling.worker_pool import Unsure, read_pool, set_count
from model.text import quoted, shortened

# By name: under -m, __name__ is __main__, and json_logging.py shows the logger "functions".
log = logging.getLogger("functions.entrypoints.scale_pool")

_POOL, _SUBSCRIPTION = "projects/P/locations/REGION/workerPools/NAME", "projects/P/subscriptions/NAME"
_EPILOG = f"""example:
  %(prog)s projects/P/locations/europe-west1/workerPools/prediction-pool \\
    --subscription projects/P/subscriptions/req_predict-sub --max 10 --dry-run

It reads the backlog and the rate of the last day from Cloud Monitoring. More
instances start at once; instances stop after the cool-down. POOL is
{_POOL}.

exit codes: 0 the count is right or was set, 1 failure (stderr has the
reason), 2 invalid arguments"""


@dataclass(frozen=True, slots=True)
class Decision:
    """What was found and decided. `needed`: instances for the backlog now; `before` is None when no count was set."""

    pool: str
    backlog: float
    rate: Rate
    needed: int
    before: int | None
    after: int

    def __str__(self) -> str:
        """Say it in one sentence."""
        source = f"measured in {self.rate.minutes} busy minutes" if self.rate.minutes else "as given"
        found = f"backlog {self.backlog:,.0f}, {self.rate.per_s:.3g} images/s per instance ({source})"
        change = f"stays at {self.after}" if self.before == self.after else f"from {self._before} to {self.after}"
        return f"{self.pool}: {found}, needs {self.needed}, instances {change}"

    @property
    def _before(self) -> str:
        return "no count" if self.before is None else str(self.before)

    def fields(self) -> dict[str, object]:
        """Return the fields of the log line."""
        return {
            "pool": self.pool,
            "backlog": self.backlog,
            "images_per_s": self.rate.per_s,
            "busy_minutes": self.rate.minutes,
            "needed": self.needed,
            "before": self.before,
            "after": self.after,
        }


def scale(api: GoogleApi, pool: str, subscription: str, limits: Limits, given: float | None, *, dry: bool) -> Decision:
    """Decide on the pool's instance count, and set it unless `dry`.

    `given`: images per second of one instance, used as long as there is no measured rate. Raises ApiError when nothing
    was changed, and Unsure when that is not known.
    """
    minutes = read_minutes(api, subscription, pool, datetime.now(UTC))
    rate = measured_rate(minutes) or (Rate(given) if given else None)
    if rate is None:
        raise ApiError("there is no measured rate: the pool was hardly busy in the last day; give --rate")
    found = read_pool(api, pool)
    last = len(minutes) - 1
    decision = Decision(
        pool.rpartition("/")[2],
        backlog(minutes, last),
        rate,
        needed(minutes, last, rate.per_s, limits),
        found.count,
        target(minutes, found.count, rate.per_s, limits),
    )
    if not dry and decision.after != found.count:
        set_count(api, found, decision.after)
    return decision


def main(argv: Sequence[str] | None = None, *, program: str = "python -m functions.entrypoints.scale_pool") -> int:
    """Scale a pool once. Returns 0, or 1 when something failed. `program` is the name in usage texts."""
    parser = _parser(program)
    args = parser.parse_args(argv)
    if args.min > args.max:
        parser.error(f"argument --min: it is {args.min}; it must be at most --max, which is {args.max}")
    if args.json:
        configure("INFO", "")
    limits = Limits(args.min, args.max, args.drain, args.cooldown)
    try:
        with closing(GoogleApi()) as api:
            decision = scale(api, args.pool, args.subscription, limits, args.rate, dry=args.dry_run)
    except ApiError as exc:
        unsure = isinstance(exc, Unsure)
        message = shortened(f"{'whether the pool was changed is not known' if unsure else 'nothing is changed'}: {exc}")
        if args.json:
            log.error("%s", message)
        else:
            print(f"{program}: {message}", file=sys.stderr)
        return 1
    sentence = f"{'dry run, nothing is changed: ' if args.dry_run else ''}{decision}"
    if args.json:
        log.info("%s", sentence, extra=decision.fields() | {"dry_run": args.dry_run})
    else:
        print(sentence)
    return 0


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description="Set the instance count of a worker pool from its backlog and its measured rate, once.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("pool", type=_name(_POOL), metavar="POOL", help="full name of the pool")
    parser.add_argument(
        "--subscription", required=True, type=_name(_SUBSCRIPTION), metavar="NAME", help="its backlog: full name"
    )
    parser.add_argument("--max", required=True, type=_whole(1, 1000), metavar="N", help="most instances")
    parser.add_argument("--min", default=0, type=_whole(0, 1000), metavar="N", help="fewest instances (default 0)")
    parser.add_argument(
        "--rate", type=_rate, metavar="N", help="images/s of one instance, used until the pool has a measured rate"
    )
    parser.add_argument(
        "--drain", default=10, type=_whole(1, 720), metavar="MINUTES", help="handle the backlog within (default 10)"
    )
    parser.add_argument(
        "--cooldown", default=15, type=_whole(0, 720), metavar="MINUTES", help="stop instances after (default 15)"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and change nothing")
    parser.add_argument("--json", action="store_true", help="write a log line of JSON to stderr instead of a sentence")
    return parser


def _name(form: str) -> Callable[[str], str]:
    """Return a converter for full names of this form, whose words in capitals stand for any word."""
    pattern = re.sub(r"\b[A-Z]+\b", "[A-Za-z0-9][A-Za-z0-9._~%+:-]*", form)

    def convert(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise argparse.ArgumentTypeError(f"it is {quoted(text)}; it must look like {form}")
        return text

    return convert


def _whole(least: int, most: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        if not re.fullmatch("[0-9]{1,6}", text) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"it is {quoted(text)}; it must be a whole number from {least} to {most}")
        return int(text)

    return convert


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not isfinite(value) or value <= 0:
        raise argparse.ArgumentTypeError(f"it is {quoted(text)}; it must be a number above 0")
    return value


if __name__ == "__main__":
    sys.exit(main())
