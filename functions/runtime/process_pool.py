"""A worker as several processes: small images mostly need Python, of which a process runs one thread at a time.

The processes are forked before there are threads, connections or models, and they end together.
"""

from __future__ import annotations

import logging
import mmap
import os
import signal
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from functions.runtime.supervised import Supervisor

log = logging.getLogger(__name__)


class ProcessPool:
    """`count` processes that each run `work`, which returns the exit code and handles SIGTERM.

    `work` gets a function to call once it has loaded `model`. A process that a signal ends is logged, with the model if
    it was not loaded yet: native code may crash on a damaged model without a message of its own.
    """

    def __init__(self, count: int, work: Callable[[Callable[[], None]], int], model: str) -> None:
        read, held = os.pipe()
        self._stopping, self._model = False, model
        self._loaded = mmap.mmap(-1, count)
        """A byte of shared memory for each process: 1 once it has loaded the model."""
        self._children: dict[int, int] = {}
        while len(self._children) < count:
            number = len(self._children)
            if not (child := os.fork()):
                os.close(held)
                _run_child(partial(work, partial(self._loaded.__setitem__, number, 1)), read)
            self._children[child] = number
        os.close(read)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def wait(self) -> int:
        """Wait for all processes: 0 after SIGTERM or SIGINT. When one ends before, all end: its code, or 1."""
        code = 0
        while self._children:
            ended, status = os.wait()
            number = self._children.pop(ended)
            if not self._stopping and not code:
                child_code = os.waitstatus_to_exitcode(status)
                if child_code < 0:
                    doing = "it served" if self._loaded[number] else f"it loaded the model {self._model}"
                    log.error("a worker process was ended by %s while %s", signal.Signals(-child_code).name, doing)
                code = abs(child_code) or 1
                self._end()
        return code

    def _stop(self, *_: object) -> None:
        self._stopping = True
        self._end()

    def _end(self) -> None:
        for child in tuple(self._children):
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGTERM)


def _run_child(work: Callable[[], int], read: int) -> None:
    """Run `work` in a process of the pool, and end the process."""
    code = 1
    try:
        Supervisor().start("process-pool", partial(_follow, read))
        code = work()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _follow(read: int) -> None:
    """End with the first process: the pipe ends with it, and nothing is ever written to it."""
    os.read(read, 1)
    os.kill(os.getpid(), signal.SIGTERM)
