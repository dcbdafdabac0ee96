"""How long each stage of a request took."""

from __future__ import annotations

import time
from collections import defaultdict

from functions.messages.contract import Timing


class Clock:
    """Of one request, from when it is made; `queue_ms`: what it had waited at the broker by then."""

    def __init__(self, queue_ms: float) -> None:
        self._queue = queue_ms
        self._start = self._last = time.perf_counter()
        self._stages: defaultdict[str, float] = defaultdict(float)

    def stage(self, name: str) -> None:
        """A stage ends: one of Timing's names, to which it is added."""
        now = time.perf_counter()
        self._stages[name] += now - self._last
        self._last = now

    def timing(self) -> Timing:
        """The stages so far, and the total."""
        stages = {"total": time.perf_counter() - self._start, **self._stages}
        return Timing(queue=self._queue, **{name: round(1000 * seconds, 2) for name, seconds in stages.items()})
