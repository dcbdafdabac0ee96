"""The memory budget for decoding: a fair, weighted semaphore over bytes."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

# Seconds that a reservation waits at most. Below the 55 s timeout of a push request, so that the nack still arrives.
PATIENCE_S = 30.0

# Seconds for which later, smaller reservations may overtake a waiting one, so that a large image does not delay them.
OVERTAKEN_S = 0.5


class _Ticket:
    """A waiting reservation, with the time at which it started to wait."""

    def __init__(self) -> None:
        self.since = time.monotonic()


class MemoryBudget:
    """`capacity` bytes, shared by all threads. A reservation that exceeds the capacity gets all of it."""

    def __init__(self, capacity: int, patience_s: float = PATIENCE_S, overtaken_s: float = OVERTAKEN_S) -> None:
        self._capacity = self._free = capacity
        self._patience_s, self._overtaken_s = patience_s, overtaken_s
        self._line: deque[_Ticket] = deque()
        self._changed = threading.Condition()

    @property
    def is_contended(self) -> bool:
        """Whether a reservation waits now."""
        return bool(self._line)

    @contextmanager
    def reserve(self, amount: int) -> Iterator[None]:
        """Reserve `amount` bytes for the block. Raises TimeoutError after PATIENCE_S.

        A thread must not nest reservations: two threads that each hold one would wait for each other.
        """
        amount = min(amount, self._capacity)
        with self._changed:
            if self._line or amount > self._free:
                self._wait(amount)
            self._free -= amount
        try:
            yield
        finally:
            with self._changed:
                self._free += amount
                if self._line:
                    self._changed.notify_all()

    def _wait(self, amount: int) -> None:
        ticket = _Ticket()
        self._line.append(ticket)
        try:
            if not self._changed.wait_for(lambda: self._admits(ticket, amount), self._patience_s):
                raise TimeoutError(f"no memory to decode an image for {self._patience_s:g} s")
        finally:
            self._line.remove(ticket)
            self._changed.notify_all()

    def _admits(self, ticket: _Ticket, amount: int) -> bool:
        """Whether the amount fits and, once the first has waited for OVERTAKEN_S, whether this is the first."""
        first = self._line[0]
        mine = first is ticket or time.monotonic() - first.since < self._overtaken_s
        return mine and amount <= self._free
