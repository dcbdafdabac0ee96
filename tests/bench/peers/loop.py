"""A closed loop, the same for all peers: each thread sends its next request after a response. Also its statistics."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import linear_regression

FEWEST = 3
"""Answers that were asked for in time, however long they take: a model that is loaded for each is slow."""

PATIENCE_S = 120.0
_WARM_S = 1.0
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Heard:
    """Once all are warm: the moments of answers, in their order, and the seconds that those asked for since took."""

    moments: Sequence[float]
    delays_s: Sequence[float]


def closed_loop(ask: Callable[[bytes], object], images: Sequence[bytes], under_way: int, seconds: float) -> Heard:
    """What is heard in so many seconds, after a second and an answer for each of `under_way` threads.

    `ask` blocks until its image is answered; what it raises is raised here. Raises TimeoutError after two minutes.
    """
    answers: list[tuple[float, float]] = []
    failures: list[Exception] = []
    ended, turn = threading.Event(), itertools.count()

    def run() -> None:
        while not ended.is_set():
            asked = time.perf_counter()
            try:
                ask(images[next(turn) % len(images)])
            except Exception as exc:  # the thread that waits for the answers raises it
                failures.append(exc)
                return
            answers.append((asked, time.perf_counter()))

    def until(moment: float, enough: Callable[[], bool]) -> None:
        give_up = moment + PATIENCE_S
        while not failures and (time.perf_counter() < moment or not enough()):
            if time.perf_counter() > give_up:
                raise TimeoutError(f"{len(answers)} answers came in {PATIENCE_S:g} s: too few to say anything")
            time.sleep(_POLL_S)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(under_way)]
    for thread in threads:
        thread.start()
    try:
        until(time.perf_counter() + _WARM_S, lambda: len(answers) >= under_way)
        warm = time.perf_counter()
        until(warm + seconds, lambda: sum(asked >= warm for asked, _ in answers) >= FEWEST)
        found = sorted(answers[:], key=lambda answer: answer[1])
    finally:
        ended.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    if failures:
        raise failures[0]
    return Heard(
        [answered for _, answered in found if answered >= warm],
        [answered - asked for asked, answered in found if asked >= warm],
    )


def per_s(moments: Sequence[float]) -> float:
    """How many a second: the slope of their count over time, which bursts, as batches are, do not tip."""
    return linear_regression(moments, range(len(moments))).slope


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of `values` that at least this percentage of them does not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]
