"""The deliveries that are in flight, for a worker that stops and for the watchdog."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Started:
    """An in-flight delivery. `at` is its start by the monotonic clock."""

    at: float


class InFlight:
    """The deliveries from their arrival until they are acked or nacked. Callable from any thread.

    A stopping worker waits for them, and the watchdog detects a stuck one by its age.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._deliveries: set[Started] = set()

    def begin(self) -> Started:
        """Add a delivery."""
        with self._changed:
            started = Started(self._clock())
            self._deliveries.add(started)
            return started

    def settle(self, started: Started) -> None:
        """Remove a delivery that is acked or nacked; a second call does nothing."""
        with self._changed:
            self._deliveries.discard(started)
            self._changed.notify_all()

    def longest_s(self) -> float:
        """Return the seconds since the start of the oldest delivery; 0 when there is none."""
        with self._changed:
            return max((self._clock() - started.at for started in self._deliveries), default=0.0)

    def drain(self, timeout_s: float) -> int:
        """Wait until no delivery is in flight. Returns the number that is left after `timeout_s`."""
        with self._changed:
            self._changed.wait_for(lambda: not self._deliveries, timeout_s)
            return len(self._deliveries)
