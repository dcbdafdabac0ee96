"""What a pull worker has begun and not settled: a stopping worker waits for it, and it shows when one is stuck."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Begun:
    """One message. `settled`: of one that came when the worker was stopping, for which only its callback waits."""

    at: float
    settled: threading.Event | None


class Pending:
    """Every message from its callback until it is acked or nacked. Callable from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._begun: set[Begun] = set()
        self._draining = False

    @property
    def draining(self) -> bool:
        """Whether the worker is stopping."""
        return self._draining

    def begin(self) -> Begun:
        """A message came."""
        with self._changed:
            begun = Begun(self._clock(), threading.Event() if self._draining else None)
            self._begun.add(begun)
            return begun

    def settle(self, begun: Begun) -> None:
        """It is acked or nacked."""
        if begun.settled:
            begun.settled.set()
        with self._changed:
            self._begun.remove(begun)
            self._changed.notify_all()

    def longest_s(self) -> float:
        """For how long the oldest of them has been worked on; 0 when there is none."""
        with self._changed:
            return max((self._clock() - begun.at for begun in self._begun), default=0.0)

    def stop(self) -> None:
        """What comes from now on is late."""
        with self._changed:
            self._draining = True

    def drain(self, timeout_s: float) -> int:
        """Stop, and wait for what is begun; gives how many are left when the time is up."""
        self.stop()
        with self._changed:
            mine = frozenset(self._begun)
            self._changed.wait_for(lambda: not mine & self._begun, timeout_s)
            return len(mine & self._begun)
