"""Thread pool that sends images: few threads, so that only a few images are in memory at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from client.images import Image
from client.results.request_tracker import Tracker
from client.text import SendError, StoreError, plain

Send = Callable[[Image], object]
"""Sends one image and reports it to the request tracker. Blocks until the image has left this machine. May raise."""


def start(images: Iterable[Image], send: Send, tracker: Tracker, threads: int) -> None:
    """Send all images in up to `threads` daemon threads, and return at once. Failures go to the request tracker.

    The threads take the images from the iterator one at a time. A thread that takes its first image starts the next
    thread, so that few images need few threads. They are daemons because Ctrl-C must not wait for a slow upload.
    """
    waiting = iter(images)
    lock = threading.Lock()
    started = running = 0

    def next_image() -> Image | None:
        with lock:
            try:
                return None if tracker.stopped else next(waiting, None)
            except Exception as exc:  # such as a bucket whose listing breaks off
                tracker.stop_sending(plain(exc))
                return None

    def start_another() -> None:
        nonlocal started, running
        with lock:
            if started == threads:
                return
            started, running = started + 1, running + 1
        threading.Thread(target=work, name=f"send-{started}", daemon=True).start()

    def work() -> None:
        nonlocal running
        is_new = True
        while image := next_image():
            if is_new:
                start_another()
                is_new = False
            try:
                send(image)
            except StoreError as exc:  # what is sent could no longer be recorded
                tracker.abort(plain(exc))
            except Exception as exc:  # one image's failure does not affect the others, with few exceptions
                tracker.fail(image, plain(exc))
                if isinstance(exc, SendError) and exc.for_all:
                    tracker.stop_sending(plain(exc))
        with lock:
            running -= 1
            last = running == 0
        if last:
            tracker.finish_sending()

    start_another()
