"""The threads that send: a few at a time, so that only a few images are in memory at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from client.image_files import Picture
from client.results.request_tracker import RequestTracker
from client.text import plain

Send = Callable[[Picture], None]
"""Sends one picture and tells the request tracker; blocks until it is out of this machine's hands. May raise."""


def start(pictures: Iterable[Picture], send: Send, tracker: RequestTracker, threads: int) -> None:
    """Send all of them from `threads` daemon threads, and return at once; the request tracker hears of every failure.

    Daemon threads, because Ctrl-C must not wait for a slow upload.
    """
    waiting = iter(pictures)
    lock = threading.Lock()
    at_work = threads

    def following() -> Picture | None:
        with lock:
            return None if tracker.stopped else next(waiting, None)

    def work() -> None:
        nonlocal at_work
        while picture := following():
            try:
                send(picture)
            except Exception as exc:  # whatever goes wrong with one picture, the others go on
                tracker.fail(picture, plain(exc))
        with lock:
            at_work -= 1
            last = at_work == 0
        if last:
            tracker.finish_sending()

    for number in range(threads):
        threading.Thread(target=work, name=f"send-{number}", daemon=True).start()
