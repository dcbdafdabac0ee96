"""A worker as several processes: in each only one thread at a time runs Python, of which small images need most.

They are forked before there are threads, connections or models, and they end together.
"""

from __future__ import annotations

import logging
import mmap
import os
import signal
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial

log = logging.getLogger(__name__)


class Fleet:
    """`count` processes that each do `work`, which gives the exit code and heeds SIGTERM.

    `work` is given a function, which it calls once it has loaded `model`. A process that a signal ends is logged, with
    the model if it had not come that far: native code may crash on a damaged model, and says nothing itself.
    """

    def __init__(self, count: int, work: Callable[[Callable[[], None]], int], model: str) -> None:
        read, held = os.pipe()
        self._asked, self._model = False, model
        self._loaded = mmap.mmap(-1, count)
        """A byte for each process, which all of them share; 1 once it has loaded the model."""
        self._children: dict[int, int] = {}
        while len(self._children) < count:
            number = len(self._children)
            if not (child := os.fork()):
                os.close(held)
                _live(partial(work, partial(self._loaded.__setitem__, number, 1)), read)
            self._children[child] = number
        os.close(read)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def wait(self) -> int:
        """Wait for all of them. 0 after SIGTERM or SIGINT; when one ends by itself so do the others: its code, or 1."""
        code = 0
        while self._children:
            ended, status = os.wait()
            number = self._children.pop(ended)
            if not self._asked and not code:
                ending = os.waitstatus_to_exitcode(status)
                if ending < 0:
                    doing = "it served" if self._loaded[number] else f"it loaded the model {self._model}"
                    log.error("a worker process was ended by %s while %s", signal.Signals(-ending).name, doing)
                code = abs(ending) or 1
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
