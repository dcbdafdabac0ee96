"""Deliveries that are begun and not settled: a stopping worker waits for them, and a stuck one shows in their age."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Begun:
    """One delivery. `at`: when it was begun, by the monotonic clock."""

    at: float


class InFlight:
    """Every delivery from its arrival until it is acked or nacked. Callable from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._begun: set[Begun] = set()

    def begin(self) -> Begun:
        """Add a delivery."""
        with self._changed:
            begun = Begun(self._clock())
            self._begun.add(begun)
            return begun

    def settle(self, begun: Begun) -> None:
        """Remove a delivery that is acked or nacked."""
        with self._changed:
            self._begun.remove(begun)
            self._changed.notify_all()

    def longest_s(self) -> float:
        """Seconds since the oldest delivery was begun; 0 when there is none."""
        with self._changed:
            return max((self._clock() - begun.at for begun in self._begun), default=0.0)

    def drain(self, timeout_s: float) -> int:
        """Wait until there is none; return how many are left after `timeout_s`."""
        with self._changed:
            self._changed.wait_for(lambda: not self._begun, timeout_s)
            return len(self._begun)
