"""The depth of the request queue: how many messages of the request subscription are not acked yet."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from http.client import NOT_FOUND
from typing import Any

from client.web.settings import Settings
from functions.scaling.google_api import ApiError, GoogleApi
from functions.scaling.monitoring import STALE, read_backlog

_EVERY_S = {True: 2.0, False: 30.0}
"""Seconds between two looks: at the local twin, and at Cloud Monitoring, which has a new sample every minute."""

_KEPT_S = 600.0
"""Seconds for which depths are kept: more than a plot covers."""

_HOLDS_S = 60.0
"""Seconds for which a depth counts where no later one was read: the time between two samples of Cloud Monitoring."""

OnDepth = Callable[[dict[str, Any]], None]


class QueueDepth:
    """Looks in a thread while a page is open; a context manager.

    `latest` is `subscription` with `messages` and `minutes_ago`, or `problem`: why the depth is not known.
    """

    def __init__(self, settings: Settings, is_watched: Callable[[], bool], on_depth: OnDepth) -> None:
        """`on_depth` gets each depth that was read. Raises UsageError."""
        self._path = settings.subscription_path
        self._is_watched, self._on_depth = is_watched, on_depth
        self._server = settings.monitoring_url
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="web-queue", daemon=True)
        self._read: deque[tuple[float, int]] = deque()
        self.latest: dict[str, Any] = {"problem": "" if self._path else "a server alone has no queue"}

    def __enter__(self) -> QueueDepth:
        if self._path:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def in_steps(self, window_s: float, step_s: float) -> list[int | None]:
        """Return the depth at the end of each step until now, the oldest first; None where it is not known."""
        now, read = time.time(), list(self._read)
        ends = [now - window_s + step_s * number for number in range(1, int(window_s / step_s) + 1)]
        return [next((depth for at, depth in reversed(read) if end - _HOLDS_S <= at <= end), None) for end in ends]

    def read(self) -> dict[str, Any]:
        """Return the depth now, in the form of `latest`."""
        from google.auth.credentials import AnonymousCredentials

        name = self._path.rpartition("/")[2]
        try:
            with closing(GoogleApi(AnonymousCredentials() if self._server else None)) as api:
                found = read_backlog(api, self._path, datetime.now(UTC), self._server)
        except ApiError as exc:
            if self._server and exc.status == NOT_FOUND:
                return {"problem": f"{self._server} does not measure it"}
            return {"problem": str(exc)}
        if not found:
            none = f"there is no sample of {name} in the last {STALE} minutes"
            return {"problem": f"{none}; REQUEST_SUBSCRIPTION names another subscription"}
        return {"subscription": name, "messages": found.messages, "minutes_ago": found.minutes_ago}

    def _watch(self) -> None:
        while not self._ended.is_set():
            if self._is_watched():
                self.latest = self.read()
                if "messages" in self.latest:
                    self._read.append((time.time(), self.latest["messages"]))
                while self._read and self._read[0][0] < time.time() - _KEPT_S:
                    self._read.popleft()
                self._on_depth(self.latest)
            self._ended.wait(_EVERY_S[bool(self._server)])
