"""When a worker reads the aliases of its models again: in a thread of its own, started by a request."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

HOLD_AFTER_S, HOLD_S = 5.0, 20.0
"""A change that takes longer than the first delays the reply to one request at a time, for up to the second: a worker
without a request has no CPU, and would not finish it.
"""


class Rereading:
    """Runs `read` in a thread when a request comes and the last time is `every_s` ago. Callable from any thread.

    `start` starts a thread with a name.
    """

    def __init__(
        self,
        read: Callable[[], None],
        every_s: float,
        start: Callable[[str, Callable[[], None]], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read, self._every_s, self._start, self._clock = read, every_s, start, clock
        self._lock, self._holding, self._idle = threading.Lock(), threading.Lock(), threading.Event()
        self._idle.set()
        self._began_at = clock()

    def request(self) -> None:
        """A request comes: read if it is time."""
        if self._clock() - self._began_at >= self._every_s:
            self.begin()

    def expire(self) -> None:
        """Let the next request start a reading."""
        self._began_at = -math.inf

    def begin(self) -> None:
        """Start a thread that reads, unless one does."""
        with self._lock:
            if not self._idle.is_set():
                return
            self._idle.clear()
            self._began_at = self._clock()
        try:
            self._start("reread-aliases", self._run)
        except RuntimeError as exc:  # no more threads are to be had: the next time is after `every_s`
            self._idle.set()
            log.error("aliases not read", extra={"reason": str(exc)})

    def repeat(self) -> None:
        """Read without requests too, and never return."""
        while True:
            time.sleep(self._every_s)
            self.request()

    def is_late(self) -> bool:
        """Whether a reading takes long, so that a request must wait for it."""
        return not self._idle.is_set() and self._clock() - self._began_at >= HOLD_AFTER_S

    def finish(self) -> None:
        """Wait for a reading that takes long, in one thread at a time."""
        if self.is_late() and self._holding.acquire(blocking=False):
            try:
                self._idle.wait(HOLD_S)
            finally:
                self._holding.release()

    def _run(self) -> None:
        try:
            self._read()
        finally:
            self._idle.set()
