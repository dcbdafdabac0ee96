"""How long a request takes while a given share of the full load comes in, for several settings of the batcher.

Open loop: requests are due at random moments (Poisson arrivals, seeded) whether or not earlier ones are answered, and a
request's time counts from when it was due, so that a slow answer is not hidden by asking later.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

import numpy as np

from tests.bench.rig import DOORS, HTTP, Rig, rig
from tests.bench.rows import Row, row
from tests.bench.subjects import Subject

BATCHERS = {
    "off": {"MAX_BATCH_SIZE": "1"},
    "default": {},
    "large": {"MAX_BATCH_SIZE": "32", "MAX_WAIT_MS": "5"},
}
SHARES = (0.1, 0.5, 0.9)
"""Of the load that the default bears."""

_PERCENTILES = (50, 95, 99)
_SECONDS = 5.0
_LEAST = 100
"""Requests at least, for a percentile that means something."""


def latencies(subjects: Sequence[Subject], images: int, runs: int) -> list[Row]:
    """Rows of the full load, and of milliseconds at its shares, by door, and in columns by setting of the batcher."""
    found: dict[str, list[float]] = {}
    for subject in subjects:
        for door in (*DOORS, HTTP):
            for _ in range(runs):
                _measure(subject, door, images, found)
    how = f"open loop, Poisson arrivals; shares of the default's full load; {_SECONDS:g} s or {_LEAST} requests each"
    return [
        row(name, values, "ms" if name.startswith("latency") else "images/s", how=how) for name, values in found.items()
    ]


def _measure(subject: Subject, door: str, images: int, found: dict[str, list[float]]) -> None:
    files = subject.load(images)
    settings = {name: {"ARTIFACT": str(subject.artifact), **given} for name, given in BATCHERS.items()}
    full: dict[str, float] = {}
    for name, given in settings.items():
        with rig(door, given) as tested:
            tested.warm(files)
            start = time.perf_counter()
            full[name] = len(files) / (tested.answer(files) - start)
        found.setdefault(f"throughput.{subject.name}.{door}.full load.{name}", []).append(full[name])
    for name, given in settings.items():
        with rig(door, given) as tested:
            tested.warm(files)
            for share in SHARES:
                delays = open_loop(tested, files, share * full["default"])
                for percent in _PERCENTILES:
                    key = f"latency.{subject.name}.{door}.{share:.0%} of the load.p{percent}.{name}"
                    found.setdefault(key, []).append(float(np.percentile(delays, percent)))


def open_loop(tested: Rig, files: Sequence[bytes], per_s: float) -> list[float]:
    """Milliseconds from when each request was due to its answer; `per_s` are due a second."""
    dice, asked = random.Random(1), {}
    due = time.perf_counter()
    for number in range(max(_LEAST, int(_SECONDS * per_s))):
        due += dice.expovariate(per_s)
        time.sleep(max(0.0, due - time.perf_counter()))
        asked[tested.line.send(files[number % len(files)])] = due
    tested.line.wait(set(asked))
    return [1000 * (tested.line.heard[request_id] - due) for request_id, due in asked.items()]
