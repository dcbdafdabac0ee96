"""How much memory decoding may take at once: who does not fit waits, and is not overtaken for long."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE_S = 30.0
"""Below the 55 s of a push request: whoever waits longer is sent back to the broker while that still listens."""

OVERTAKEN_S = 0.5
"""So long others may go in before one who waits: small images need not wait because a large one does."""


class _Ticket:
    """A place in the line, taken when it is made."""

    def __init__(self) -> None:
        self.since = time.monotonic()


class Room:
    """`capacity` bytes, shared by all threads. What is larger than all of it is let in alone."""

    def __init__(self, capacity: int, patience_s: float = PATIENCE_S, overtaken_s: float = OVERTAKEN_S) -> None:
        self._capacity = self._free = capacity
        self._patience_s, self._overtaken_s = patience_s, overtaken_s
        self._line: deque[_Ticket] = deque()
        self._changed = threading.Condition()

    @property
    def is_wanted(self) -> bool:
        """Whether anybody waits for memory now."""
        return bool(self._line)

    @contextmanager
    def taken(self, amount: int) -> Iterator[None]:
        """Hold `amount` bytes for the block. Raises TimeoutError, our fault and not the sender's, after a long wait.

        Never taken twice by one thread: two that each hold a part would wait for each other.
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
            if not self._changed.wait_for(lambda: self._lets_in(ticket, amount), self._patience_s):
                raise TimeoutError(f"no room to decode an image for {self._patience_s:g} s")
        finally:
            self._line.remove(ticket)
            self._changed.notify_all()

    def _lets_in(self, ticket: _Ticket, amount: int) -> bool:
        """Who fits, until the first in line has waited too long: many small ones must never keep a large one out."""
        first = self._line[0]
        mine = first is ticket or time.monotonic() - first.since < self._overtaken_s
        return mine and amount <= self._free
