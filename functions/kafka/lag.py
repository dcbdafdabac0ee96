"""Logs the lag of a consumer once a minute: what infra/metrics.tf counts, and the alerts on Kafka read."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

REPORT_S = 60.0
"""Seconds between two lines. The queries of infra/ divide by ten lines in ten minutes."""


class LagLog:
    """Logs the lag of one topic every REPORT_S seconds. For one thread.

    The first line comes REPORT_S after the start: a worker that ends sooner, again and again, is silent.
    """

    def __init__(self, topic: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._topic, self._clock = topic, clock
        self._next = clock() + REPORT_S
        self._reported = 0

    def step(self, lag: int, finished: int) -> None:
        """Log if it is time. `lag`: messages that are not finished. `finished`: those that are, since the start."""
        late_s = self._clock() - self._next
        if late_s < 0:
            return
        self._next += REPORT_S * (1 + late_s // REPORT_S)
        log.info("lag", extra={"topic": self._topic, "lag": lag, "finished": finished - self._reported})
        self._reported = finished
