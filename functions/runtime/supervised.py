"""Long-lived threads: when one fails, the process ends, so that no worker runs on without it."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)


def end_process(reason: str) -> None:
    """End the process with code 1. Cloud Run starts it again."""
    logging.shutdown()
    os._exit(1)


class Supervisor:
    """Starts threads. The first failure of one is logged, and `on_failure` is called with its reason.

    `on_failure` may be replaced by a call that ends the process in order.
    """

    def __init__(self, on_failure: Callable[[str], None] = end_process) -> None:
        self.on_failure = on_failure

    def start(self, name: str, work: Callable[[], None]) -> threading.Thread:
        """Start a daemon thread that runs `work`, which may return."""
        thread = threading.Thread(target=self._run, args=(name, work), name=name, daemon=True)
        thread.start()
        return thread

    def _run(self, name: str, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as exc:
            reason = f"the thread {name} failed: {exc!r}"
            log.critical("%s; the process ends", reason, exc_info=exc)
            self.on_failure(reason)
