"""The watchdog of the pull worker: notices a silent broker and a stuck delivery.

A silent stream may be idle or broken: the broker may have stopped, or the network may swallow packets. So the watchdog
sends the broker a small request on the connection of the stream at regular intervals.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

STUCK_S = 600.0
"""Seconds after which a delivery counts as stuck: more than all retries and timeouts of one request take, even after
every other message that a process may hold, at two seconds an image."""

_CHECKS = 4
"""Number of requests to the broker in the time that it may be silent."""


class Watchdog:
    """Judges whether the worker works. Callable from any thread.

    `is_reachable(timeout_s)`: whether the broker replies; may block that long. `longest_s()`: seconds since the start
    of the oldest delivery. `silence_s`: seconds that the broker may be silent.
    """

    def __init__(
        self,
        is_reachable: Callable[[float], bool],
        longest_s: Callable[[], float],
        silence_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._is_reachable, self._longest_s, self._silence_s, self._clock = is_reachable, longest_s, silence_s, clock
        self._lock = threading.Lock()
        self._heard = clock()
        self._ended = threading.Event()

    def heard(self) -> None:
        """The broker sent something."""
        with self._lock:
            self._heard = self._clock()

    def failure(self) -> str:
        """Why the worker does not work, as a sentence; empty while it works."""
        return self._after(self._silence_s, STUCK_S)

    def warning(self) -> str:
        """Like `failure`, after half the time."""
        return self._after(self._silence_s / 2, STUCK_S / 2)

    def watch(self) -> str:
        """Ask the broker until there is a failure, and return it; empty after `end`."""
        rest = pause = self._silence_s / _CHECKS
        while not self._ended.wait(rest):
            began = self._clock()
            if self._is_reachable(pause):
                self.heard()
            if failure := self.failure():
                return failure
            rest = max(0.0, pause - (self._clock() - began))
        return ""

    def end(self) -> None:
        """Stop `watch`."""
        self._ended.set()

    def _after(self, silence_s: float, stuck_s: float) -> str:
        with self._lock:
            silent = self._clock() - self._heard
        longest = self._longest_s()
        if silent >= silence_s:
            return f"the broker has not answered for {silent:.1f} s"
        if longest >= stuck_s:
            return f"a request has been worked on for {longest:.0f} s"
        return ""
