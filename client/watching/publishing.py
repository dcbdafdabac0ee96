"""Publishes the versions of files from several threads, and tries again until the broker takes them."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable

from client.images import Image
from client.jobs.job import Job
from client.results.request_tracker import Outcome
from client.text import SendError, StoreError, plain, shown
from client.transport.base import Transport
from client.watching.backoff import Backoff, Notices
from client.watching.file_version import FileVersion

OnFailed = Callable[[FileVersion, Exception], None]
"""Gets a version that cannot be sent, although others can, and the reason."""


class Untracked:
    """Takes the place of the request tracker: the job store has the requests, so that memory does not grow."""

    def expect(self, request_id: str, image: Image, sent_at: float | None = None, trace_id: str = "") -> None:
        pass

    def settle(self, outcome: Outcome) -> None:
        pass


class Publishing:
    """Sends versions with the transport's threads, which are daemons, and records in the job what was sent."""

    def __init__(self, transport: Transport, job: Job, on_failed: OnFailed, notices: Notices) -> None:
        self._transport, self._job, self._on_failed, self._notices = transport, job, on_failed, notices
        self._waiting: queue.SimpleQueue[FileVersion | None] = queue.SimpleQueue()
        self._backoff, self._stopped = Backoff(), threading.Event()
        self._threads = [
            threading.Thread(target=self._work, name=f"publish-{number}", daemon=True)
            for number in range(transport.threads)
        ]
        for thread in self._threads:
            thread.start()

    def add(self, versions: Iterable[FileVersion]) -> None:
        """Send these soon."""
        for version in versions:
            self._waiting.put(version)

    def stop(self, wait_s: float = 2.0) -> None:
        """Send no more. What is being sent at this moment is waited for, `wait_s` seconds at most."""
        self._stopped.set()
        for _ in self._threads:
            self._waiting.put(None)
        until = time.monotonic() + wait_s
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _work(self) -> None:
        while (version := self._waiting.get()) and not self._stopped.is_set():
            self._send(version)

    def _send(self, version: FileVersion) -> None:
        while not self._stopped.wait(self._backoff.left_s):
            sent_at = time.time()
            try:
                self._job.sent(version, self._transport.send(version), sent_at)
            except Exception as exc:
                if not _concerns_all(exc):
                    self._on_failed(version, exc)
                    return
                self._backoff.failed()
                self._notices.begin("publish", f"{shown(version)}: {plain(exc)}; it is tried again until it succeeds")
            else:
                self._backoff.succeeded()
                self._notices.end("publish", "images are published again")
                return


def _concerns_all(exc: Exception) -> bool:
    """Whether an error has its cause outside of the image, so that the same image may be sent later."""
    return isinstance(exc, StoreError) or (isinstance(exc, SendError) and (exc.temporary or exc.for_all))
