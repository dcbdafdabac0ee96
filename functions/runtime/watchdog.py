"""Whether the pull worker lives: what shows it, who asks, and what is done when nothing does.

A stream that is silent may be idle or stuck: the broker stopped, or something between here and there swallows bytes. So
the broker is asked something small on the stream's own connection, again and again. A worker that holds a message for
ever is stuck too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

WORK_S = 600.0
"""No request takes longer, with every retry and timeout on its way, nor behind all others that a process holds, at two
seconds an image."""

_ASKS = 4
"""How often the broker is asked in the time that it may be silent."""


class Liveness:
    """What shows that the worker lives. Callable from any thread.

    `ask(timeout_s)` says whether the broker answers; it may block so long. `longest_s()`: for how long a message has
    been worked on. `silence_s`: how long nothing may be heard.
    """

    def __init__(
        self,
        ask: Callable[[float], bool],
        longest_s: Callable[[], float],
        silence_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask, self._longest_s, self._silence_s, self._clock = ask, longest_s, silence_s, clock
        self._lock = threading.Lock()
        self._heard = clock()
        self._over = threading.Event()

    def heard(self) -> None:
        """The broker said something."""
        with self._lock:
            self._heard = self._clock()

    def trouble(self) -> str:
        """Why the worker counts as stuck; empty while it does not."""
        return self._after(self._silence_s, WORK_S)

    def doubt(self) -> str:
        """Like `trouble`, but in half the time."""
        return self._after(self._silence_s / 2, WORK_S / 2)

    def watch(self) -> str:
        """Ask until there is trouble: gives what it is; empty after `end`."""
        rest = pause = self._silence_s / _ASKS
        while not self._over.wait(rest):
            began = self._clock()
            if self._ask(pause):
                self.heard()
            if trouble := self.trouble():
                return trouble
            rest = max(0.0, pause - (self._clock() - began))
        return ""

    def end(self) -> None:
        """Nobody is to be asked any more."""
        self._over.set()

    def _after(self, silence_s: float, work_s: float) -> str:
        with self._lock:
            silent = self._clock() - self._heard
        longest = self._longest_s()
        if silent >= silence_s:
            return f"the broker has not answered for {silent:.1f} s"
        if longest >= work_s:
            return f"a request has been worked on for {longest:.0f} s"
        return ""
