"""Times the stages of a request."""

from __future__ import annotations

import time
from collections import defaultdict

from functions.messages.contract import Timing


class StageTimer:
    """The timer of one request, started when it is made. `queue_ms`: milliseconds that the request waited before."""

    def __init__(self, queue_ms: float) -> None:
        self._queue = queue_ms
        self._start = self._last = time.perf_counter()
        self._stages: defaultdict[str, float] = defaultdict(float)

    def stage(self, name: str) -> None:
        """End a stage and add its time to `name`, a field of Timing."""
        now = time.perf_counter()
        self._stages[name] += now - self._last
        self._last = now

    def timing(self) -> Timing:
        """The stages so far, and the total."""
        timing = {"total": time.perf_counter() - self._start, **self._stages}
        for name, seconds in timing.items():
            timing[name] = round(1000 * seconds, 2)
        return Timing(queue=self._queue, **timing)
