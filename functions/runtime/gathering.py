"""Gathers what is to be sent, so that under load many small messages leave in few calls, and a single one at once."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from typing import Generic, TypeVar

GATHER_S = 0.01
"""Seconds between calls under load. A message may wait that long for others."""

LONGEST_GATHER_S = 0.05
"""Maximum seconds between calls while images wait to be scored, because each call takes CPU time from them."""

MAX_MESSAGES, MAX_BYTES = 100, 1_000_000
"""Maximum messages and bytes of a call, as in the batches of Google's client."""

Backlog = Callable[[], float]
"""Returns the seconds until the images that wait are scored."""

T = TypeVar("T")
"""What is sent."""


def no_backlog() -> float:
    """No image waits."""
    return 0.0


class Gathering(Generic[T]):
    """Messages that wait to be sent. `add` is callable from any thread, `next` from one thread at a time.

    `size_of`: the bytes of a message. `is_urgent`: whether it is sent without waiting for others.
    """

    def __init__(
        self,
        size_of: Callable[[T], int],
        is_urgent: Callable[[T], bool] = lambda _: False,
        backlog: Backlog = no_backlog,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._size_of, self._is_urgent, self._backlog, self._sleep = size_of, is_urgent, backlog, sleep
        self._messages: queue.SimpleQueue[T] = queue.SimpleQueue()
        self._latest, self._several = -LONGEST_GATHER_S, False

    def add(self, message: T) -> None:
        """Return at once."""
        self._messages.put(message)

    def next(self) -> list[T]:
        """The messages of the next call, in their order; blocks until there is one."""
        messages = [self._messages.get()]
        if not self._is_urgent(messages[0]) and (self._several or not self._messages.empty()):
            self._wait(GATHER_S)
            self._wait(min(LONGEST_GATHER_S, self._backlog()))
        size = self._size_of(messages[0])
        while len(messages) < MAX_MESSAGES and size < MAX_BYTES and not self._messages.empty():
            messages.append(self._messages.get())
            size += self._size_of(messages[-1])
        self._latest, self._several = time.monotonic(), len(messages) > 1
        return messages

    def _wait(self, gather_s: float) -> None:
        early_s = self._latest + gather_s - time.monotonic()
        if early_s > 0:
            self._sleep(early_s)
