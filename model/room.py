"""How much memory decoding may take at once: who does not fit waits, first come first served."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE_S = 30.0
"""Below the 55 s of a push request: whoever waits longer is sent back to the broker while that still listens."""


class Room:
    """`capacity` bytes, shared by all threads. What is larger than all of it is let in alone."""

    def __init__(self, capacity: int, patience_s: float = PATIENCE_S) -> None:
        self._capacity = self._free = capacity
        self._patience_s = patience_s
        self._line: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, amount: int) -> Iterator[None]:
        """Hold `amount` bytes for the block. Raises TimeoutError, our fault and not the sender's, after a long wait.

        Never taken twice by one thread: two that each hold a part would wait for each other.
        """
        amount, ticket = min(amount, self._capacity), object()
        with self._changed:
            self._line.append(ticket)
            try:
                # In turn, so that many small ones never keep a large one out.
                ready = self._changed.wait_for(
                    lambda: self._line[0] is ticket and amount <= self._free, self._patience_s
                )
                if not ready:
                    raise TimeoutError(f"no room to decode an image for {self._patience_s:g} s")
                self._free -= amount
            finally:
                self._line.remove(ticket)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._free += amount
                self._changed.notify_all()
