"""`python -m tests.fault`: requests under faults, counted; fails unless nothing is lost and nothing conflicts."""

from __future__ import annotations

import argparse
import itertools
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.fault.journal import Verdict
from tests.fault.plan import Backend, Delivery, FaultCounts, Plan

Run = Callable[[Plan, Path, Callable[[str], None]], tuple[Verdict, FaultCounts]]

_BOTH = {"delivery": ("push", "pull"), "pubsub": ("embedded", "google")}


def main() -> int:
    """Run each combination that is asked for: 0 when every verdict is good, 1 when one is not."""
    parser = argparse.ArgumentParser(prog="python -m tests.fault", description=__doc__)
    parser.add_argument("--requests", type=int, default=2000, metavar="N", help="accepted requests of a run (2000)")
    parser.add_argument("--broker", choices=["pubsub", "kafka"], default="pubsub")
    parser.add_argument("--transactions", action="store_true", help="on Kafka: no committed response may come twice")
    parser.add_argument("--delivery", choices=["push", "pull", "both"], default="both")
    parser.add_argument("--pubsub", choices=["embedded", "google", "both"], default="embedded")
    parser.add_argument("--between", type=int, metavar="K", help="kills between publish and ack (a tenth of N)")
    parser.add_argument(
        "--response-store", action="store_true", help="workers with a RESPONSE_STORE: no copy may differ in any byte"
    )
    parser.add_argument(
        "--swap-every", type=float, default=0.0, metavar="S", help="move the alias of the model every S seconds"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="for logs; by default a temporary one that is deleted")
    options = parser.parse_args()
    if options.requests < 10:
        parser.error(f"--requests is {options.requests}; it must be at least 10")
    # A broker that is away is what is wanted here: no library needs to tell of it.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    logging.getLogger("google").setLevel(logging.CRITICAL)
    if options.broker == "kafka":
        from tests.fault import kafka

        how = "with" if options.transactions else "without"
        return _judged(options, [(_on_kafka(options), f"Kafka, {how} transactions", kafka.run)])
    chosen = [_BOTH[name] if (value := getattr(options, name)) == "both" else (value,) for name in _BOTH]
    from tests.fault import run

    ways = itertools.product(*chosen)
    return _judged(options, [(_on_pubsub(options, *way), f"{way[0]}, {way[1]} Pub/Sub", run.run) for way in ways])


def _judged(options: argparse.Namespace, plans: list[tuple[Plan, str, Run]]) -> int:
    """Run each plan, and print and judge what came of it."""
    from tests.fault.judge import faults

    good = True
    for plan, name, run in plans:
        print(
            f"{name}, seed {plan.seed}"
            + (", with a response store" if plan.response_store else "")
            + (f", a swap every {plan.swap_every_s:g} s" if plan.swap_every_s else "")
        )
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            verdict, counts = run(plan, options.folder or Path(folder), say)
        print(f"{verdict}\n{counts} seconds={time.monotonic() - began:.0f}", flush=True)
        failed = faults(plan, verdict, counts)
        if failed:
            print(f"failed: {'; '.join(failed)}", flush=True)
        good &= not failed
    return 0 if good else 1


def _on_pubsub(options: argparse.Namespace, delivery: Delivery, backend: Backend) -> Plan:
    ours = backend == "embedded"  # Google's emulator has no fault plans and keeps nothing
    return Plan(
        requests=options.requests,
        delivery=delivery,
        backend=backend,
        between=options.requests // 10 if options.between is None else options.between,
        broker_every_s=20.0 if ours else 0.0,
        fault_plan=ours,
        # It takes 80 s and more to deliver again what a killed pull worker held.
        kill_every_s=3.0 if ours or delivery == "push" else 0.0,
        quiet_s=120.0 if ours or delivery == "push" else 400.0,
        response_store=options.response_store,
        swap_every_s=options.swap_every,
        seed=options.seed,
    )


def _on_kafka(options: argparse.Namespace) -> Plan:
    return Plan(
        requests=options.requests,
        delivery="kafka",
        backend="kafka",
        between=0,  # only the proxy of Pub/Sub knows this moment
        kill_each=max(options.requests // 20, 10),
        broker_every_s=40.0,  # it needs some 13 s to start again
        rebalance_every_s=5.0,
        workers=3,
        transactions=options.transactions,
        seed=options.seed,
        quiet_s=180.0,
    )


def say(words: str) -> None:
    """Progress is no result."""
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
