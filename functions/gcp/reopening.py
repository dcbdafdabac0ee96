"""Log lines on pull streams that are opened again, each with its reason: no stream fails in silence."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from google.api_core.exceptions import ServiceUnavailable

log = logging.getLogger(__name__)

ROUTINE_S = 600.0
"""A stream that was open this many seconds may end without a warning: Pub/Sub closes each after half an hour."""

QUIET_S = 60.0
"""Seconds from one line to the next: a stream that cannot stay open is opened every two seconds, and each failure is
reported twice, by the reading thread and by gRPC's own."""


class Reopenings:
    """Logs why the stream of one subscription is opened again, at most once in QUIET_S. For one thread at a time."""

    def __init__(self, subscription: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._subscription, self._clock = subscription, clock
        self._opened = clock()
        self._quiet_until = self._opened

    def note(self, failure: BaseException) -> None:
        """The stream failed and is opened again."""
        now = self._clock()
        open_s, self._opened = now - self._opened, now
        if now < self._quiet_until:
            return
        self._quiet_until = now + QUIET_S
        routine = isinstance(failure, ServiceUnavailable) and open_s >= ROUTINE_S
        log.log(
            logging.INFO if routine else logging.WARNING,
            "the pull stream is opened again: %s",
            failure,
            extra={"subscription": self._subscription, "open_s": round(open_s, 1)},
        )
