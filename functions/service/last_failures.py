"""The last failures of requests that were nacked, for the announcement of a dead letter."""

from __future__ import annotations

import threading

MAX_REQUESTS = 1_000
"""Requests whose failure is known, of some hundred bytes each: an outage fails many more, with the same few reasons."""


class LastFailures:
    """The class name of the last exception by request id, in this process. Callable from any thread.

    The text of an exception is left out: it may name what the sender must not know.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: dict[str, str] = {}

    def keep(self, request_id: str, failure: Exception) -> None:
        """Remember a failure, and forget the oldest over MAX_REQUESTS."""
        with self._lock:
            self._names.pop(request_id, None)
            self._names[request_id] = type(failure).__name__
            if len(self._names) > MAX_REQUESTS:
                del self._names[next(iter(self._names))]

    def get(self, request_id: str) -> str:
        """Return the name of the last failure, or "" when it is not known."""
        with self._lock:
            return self._names.get(request_id, "")
