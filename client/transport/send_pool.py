"""Thread pool that sends images: few threads, so that only a few images are in memory at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from client.gcp import RETRY_S
from client.images import Image
from client.results.request_tracker import Tracker
from client.text import SendError, StoreError, plain

Send = Callable[[Image], object]
"""Sends one image and reports it to the request tracker. Blocks until the image has left this machine. May raise."""

_FAILURES = 3
"""Images that fail for a temporary reason, and none that succeeds for RETRY_S: then no more are sent."""


def start(images: Iterable[Image], send: Send, tracker: Tracker, threads: int) -> None:
    """Send all images in up to `threads` daemon threads, and return at once. Failures go to the request tracker.

    The threads take the images from the iterator one at a time. Each image that is taken starts another thread, so
    that few images need few threads. They are daemons because Ctrl-C must not wait for a slow upload.
    """
    waiting = iter(images)
    # Two locks: while a thread waits for the next image, the others must go on.
    taking, counting = threading.Lock(), threading.Lock()
    started = running = failures = 0
    reached_at = time.monotonic()

    def next_image() -> Image | None:
        with taking:
            try:
                return None if tracker.stopped else next(waiting, None)
            except Exception as exc:  # such as a bucket whose listing breaks off
                tracker.stop_sending(plain(exc))
                return None

    def start_another() -> None:
        nonlocal started, running
        with counting:
            if started == threads:
                return
            started, running = started + 1, running + 1
        threading.Thread(target=work, name=f"send-{started}", daemon=True).start()

    def is_for_all(exc: Exception) -> bool:
        nonlocal failures
        if not isinstance(exc, SendError):
            return False
        with counting:
            failures += exc.temporary
            lasts = failures >= _FAILURES and time.monotonic() >= reached_at + RETRY_S
        return exc.for_all or (exc.temporary and lasts)

    def work() -> None:
        nonlocal running, failures, reached_at
        while image := next_image():
            start_another()
            try:
                send(image)
                with counting:
                    failures, reached_at = 0, time.monotonic()
            except StoreError as exc:  # what is sent could no longer be recorded
                tracker.abort(plain(exc))
            except Exception as exc:  # one image's failure does not affect the others, with few exceptions
                tracker.fail(image, plain(exc))
                if is_for_all(exc):
                    tracker.stop_sending(plain(exc))
        with counting:
            running -= 1
            last = running == 0
        if last:
            tracker.finish_sending()

    start_another()
