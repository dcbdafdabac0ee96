"""Thread pool that sends images: few threads, so that only a few images are in memory at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from client.images import Image
from client.results.request_tracker import RequestTracker
from client.text import plain

Send = Callable[[Image], None]
"""Sends one image and reports it to the request tracker. Blocks until the image has left this machine. May raise."""


def start(images: Iterable[Image], send: Send, tracker: RequestTracker, threads: int) -> None:
    """Start `threads` daemon threads that send all images, and return at once. Failures go to the request tracker.

    The threads are daemons because Ctrl-C must not wait for a slow upload.
    """
    waiting = iter(images)
    lock = threading.Lock()
    running = threads

    def next_image() -> Image | None:
        with lock:
            return None if tracker.stopped else next(waiting, None)

    def work() -> None:
        nonlocal running
        while image := next_image():
            try:
                send(image)
            except Exception as exc:  # one image's failure does not affect the others
                tracker.fail(image, plain(exc))
        with lock:
            running -= 1
            last = running == 0
        if last:
            tracker.finish_sending()

    for number in range(threads):
        threading.Thread(target=work, name=f"send-{number}", daemon=True).start()
