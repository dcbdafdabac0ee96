"""What happens again and again during a fault run, in threads of its own: kills, and reports of progress."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tests.fault.journal import RequestJournal
from tests.fault.plan import FaultCounts
from tests.fault.workers import Place

REPORT_S = 15.0
"""Seconds between two reports."""


@contextmanager
def repeating(do: Callable[[], None], pause_s: Callable[[], float]) -> Iterator[None]:
    """Do something after every pause, until the block ends; what it raises is raised at the end."""
    ended, failures = threading.Event(), []

    def work() -> None:
        try:
            while not ended.wait(pause_s()):
                do()
        except Exception as exc:
            failures.append(exc)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    if failures:
        raise failures[0]


def killer(places: Sequence[Place], seed: int) -> Callable[[], None]:
    """What kills one of the workers that are ready, each time another one."""
    choice = random.Random(seed)

    def kill() -> None:
        order = choice.sample(places, len(places))
        any(place.kill() for place in order)

    return kill


def report(journal: RequestJournal, counts: FaultCounts, say: Callable[[str], None]) -> None:
    """Say how far the run is."""
    accepted, answered = journal.progress()
    say(f"{time.strftime('%H:%M:%S')} accepted={accepted} answered={answered} {counts}")
