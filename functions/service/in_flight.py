"""What a pull worker has begun and not settled: a stopping worker waits for it, and it shows when one is stuck."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Begun:
    """One message, since when."""

    at: float


class Pending:
    """Every message that is worked on, until it is acked or nacked. Callable from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._begun: set[Begun] = set()

    def begin(self) -> Begun:
        """A message came."""
        with self._changed:
            begun = Begun(self._clock())
            self._begun.add(begun)
            return begun

    def settle(self, begun: Begun) -> None:
        """It is acked or nacked."""
        with self._changed:
            self._begun.remove(begun)
            self._changed.notify_all()

    def longest_s(self) -> float:
        """For how long the oldest of them has been worked on; 0 when there is none."""
        with self._changed:
            return max((self._clock() - begun.at for begun in self._begun), default=0.0)

    def drain(self, timeout_s: float) -> int:
        """Wait for what is begun; gives how many are left when the time is up."""
        with self._changed:
            self._changed.wait_for(lambda: not self._begun, timeout_s)
            return len(self._begun)
