"""The depth of the request queue: how many messages of the request subscription are not acked yet."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from http.client import NOT_FOUND
from typing import Any

from client.emulators import PUBSUB
from client.web.settings import Settings
from functions.scaling.google_api import ApiError, GoogleApi
from functions.scaling.monitoring import STALE, read_backlog

_EVERY_S = {True: 2.0, False: 30.0}
"""Seconds between two looks: at an emulator, and at Cloud Monitoring, which has a new sample every minute."""

OnDepth = Callable[[dict[str, Any]], None]


class QueueDepth:
    """Looks in a thread while a page is open; a context manager.

    `latest` is `subscription` with `messages` and `minutes_ago`, or `problem`: why the depth is not known.
    """

    def __init__(self, settings: Settings, is_watched: Callable[[], bool], on_depth: OnDepth) -> None:
        """`on_depth` gets each depth that was read. Raises UsageError."""
        self._path = settings.subscription_path
        self._is_watched, self._on_depth = is_watched, on_depth
        self._emulator = os.environ.get(PUBSUB, "")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="web-queue", daemon=True)
        self.latest: dict[str, Any] = {"problem": "" if self._path else "a server alone has no queue"}

    def __enter__(self) -> QueueDepth:
        if self._path:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def read(self) -> dict[str, Any]:
        """Return the depth now, in the form of `latest`."""
        name = self._path.rpartition("/")[2]
        endpoint = f"http://{self._emulator}" if self._emulator else ""
        try:
            with closing(GoogleApi(is_emulator=bool(endpoint))) as api:
                found = read_backlog(api, self._path, datetime.now(UTC), endpoint)
        except ApiError as exc:
            if endpoint and exc.status == NOT_FOUND:
                return {"problem": f"the emulator at {self._emulator} does not measure it"}
            return {"problem": str(exc)}
        if not found:
            none = f"there is no sample of {name} in the last {STALE} minutes"
            return {"problem": f"{none}; REQUEST_SUBSCRIPTION names another subscription"}
        return {"subscription": name, "messages": found.messages, "minutes_ago": found.minutes_ago}

    def _watch(self) -> None:
        while not self._ended.is_set():
            if self._is_watched():
                self.latest = self.read()
                self._on_depth(self.latest)
            self._ended.wait(_EVERY_S[bool(self._emulator)])
