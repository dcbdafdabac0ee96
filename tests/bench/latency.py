"""Latency of requests at a given share of the full load, for several settings of the batcher.

Open loop: requests are due at random moments (Poisson arrivals, seeded) whether or not earlier ones are answered, and a
request's time counts from when it was due, so that a slow answer is not hidden by asking later. Settings take short
turns, with a worker of each standing by: a machine's speed changes more from minute to minute than they differ.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from statistics import median

import numpy as np

from tests.bench.rig import HTTP, KAFKA, Rig, entry_points, rig
from tests.bench.rows import RATIO, Row, row
from tests.bench.subjects import Subject

BATCHERS = {
    "off": {"MAX_BATCH_SIZE": "1"},
    "default": {},
    "large": {"MAX_BATCH_SIZE": "32", "MAX_WAIT_MS": "5"},
}
SHARES = (0.1, 0.5, 0.9)
"""Shares of the full load of the default settings."""

_UNITS = {"throughput": "images/s", "latency": "ms", "of the default": RATIO}
_PERCENTILES = (50, 95, 99)
_SECONDS = 2.0
_LEAST = 100
"""Requests at least, for a percentile that means something."""


def latencies(subjects: Sequence[Subject], images: int, runs: int) -> list[Row]:
    """Rows of the full load, and of milliseconds at its shares, by entry point; one column for each batcher setting."""
    found: dict[str, list[float]] = {}
    for subject in subjects:
        files = subject.load(images)
        for entry_point in (*entry_points(), HTTP):
            with ExitStack() as stack:
                rigs = {
                    name: stack.enter_context(rig(entry_point, {"ARTIFACT": str(subject.artifact), **settings}))
                    for name, settings in BATCHERS.items()
                    if name == "default" or entry_point != KAFKA  # its batcher is that of pull
                }
                _measure(f"{subject.name}.{entry_point}", rigs, files, runs, found)
    how = f"open loop, Poisson arrivals at shares of the default's full load; {_SECONDS:g} s or {_LEAST} requests each"
    return [row(name, values, _UNITS[name.partition(".")[0]], how=how) for name, values in found.items()]


def _measure(
    what: str, rigs: Mapping[str, Rig], files: Sequence[bytes], runs: int, found: dict[str, list[float]]
) -> None:
    for tested in rigs.values():
        tested.warm(files)
    for _ in range(runs):
        for name, tested in rigs.items():
            start = time.perf_counter()
            rate = len(files) / (tested.answer(files) - start)
            found.setdefault(f"throughput.{what}.full load.{name}", []).append(rate)
    full = median(found[f"throughput.{what}.full load.default"])
    for run in range(runs):
        for share in SHARES:
            names = sorted(rigs, reverse=bool(run % 2))
            delays = {name: open_loop(rigs[name], files, share * full) for name in names}
            for percent in _PERCENTILES:
                ms = {name: float(np.percentile(delays[name], percent)) for name in rigs}
                of = f"{what}.{share:.0%} of the load.p{percent}"
                for name in rigs:
                    found.setdefault(f"latency.{of}.{name}", []).append(ms[name])
                    found.setdefault(f"of the default.{of}.{name}", []).append(ms[name] / ms["default"])


def open_loop(tested: Rig, files: Sequence[bytes], per_s: float, seconds: float = _SECONDS) -> list[float]:
    """Milliseconds from when each request was due to its answer; `per_s` are due a second."""
    faults, asked = random.Random(1), {}
    due = time.perf_counter()
    for number in range(max(_LEAST, int(seconds * per_s))):
        due += faults.expovariate(per_s)
        time.sleep(max(0.0, due - time.perf_counter()))
        asked[tested.line.send(files[number % len(files)])] = due
    tested.line.wait(set(asked))
    return [1000 * (tested.line.heard[request_id] - due) for request_id, due in asked.items()]
