"""A worker as several processes: in each only one thread at a time runs Python, of which small images need most.

They are forked before there are threads, connections or models, and they end together.
"""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress


class Fleet:
    """`count` processes that each do `work`, which gives the exit code and heeds SIGTERM."""

    def __init__(self, count: int, work: Callable[[], int]) -> None:
        read, held = os.pipe()
        self._asked = False
        self._children: set[int] = set()
        while len(self._children) < count:
            if not (child := os.fork()):
                os.close(held)
                _live(work, read)
            self._children.add(child)
        os.close(read)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def wait(self) -> int:
        """Wait for all of them. 0 after SIGTERM or SIGINT; when one ends by itself so do the others: its code, or 1."""
        code = 0
        while self._children:
            ended, status = os.wait()
            self._children.discard(ended)
            if not self._asked and not code:
                code = abs(os.waitstatus_to_exitcode(status)) or 1
                self._end()
        return code

    def _stop(self, *_: object) -> None:
        self._asked = True
        self._end()

    def _end(self) -> None:
        for child in tuple(self._children):
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGTERM)


def _live(work: Callable[[], int], read: int) -> None:
    """What a process of the fleet does, and nothing after it."""
    code = 1
    try:
        threading.Thread(target=_follow, args=(read,), name="fleet", daemon=True).start()
        code = work()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _follow(read: int) -> None:
    """End with the process that began the fleet: nothing is written to this pipe, which ends with that process."""
    os.read(read, 1)
    os.kill(os.getpid(), signal.SIGTERM)
