"""Threads for what takes its time: what they have not begun when the worker stops is handed back."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from functions.observability.request_log import Outcomes
from functions.service.handler import Delivered

THREADS = 16
"""For images to be fetched, large ones, pictures of explanations, dead letters."""


class HandingBack:
    """Does `work` with each delivery, by the thread that is free first."""

    def __init__(self, name: str, work: Callable[[Delivered], None], outcomes: Outcomes, count: int = THREADS) -> None:
        self._threads = ThreadPoolExecutor(count, name)
        self._work, self._outcomes = work, outcomes

    def put(self, delivery: Delivered) -> None:
        """Returns at once."""
        self._threads.submit(self._work, delivery).add_done_callback(partial(self._dropped, delivery))

    def stop(self) -> None:
        """Nack what is not begun; returns at once. Nothing may be put in afterwards."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _dropped(self, delivery: Delivered, work: Future[None]) -> None:
        if work.cancelled():
            self._outcomes.handed_back(delivery.envelope)
            delivery.nack()
