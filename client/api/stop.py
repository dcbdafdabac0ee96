"""Ends work that another thread does, such as that of a task of asyncio that was cancelled."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Stop:
    """A request to end, which one thread makes and another one follows."""

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._is_set = False
        self._action: Callable[[], None] | None = None

    def is_set(self) -> bool:
        """Return whether the work should end."""
        return self._is_set

    def then(self, action: Callable[[], None]) -> None:
        """Call `action` when the work should end: at once where it should end already."""
        with self._changing:
            self._action = action
            if not self._is_set:
                return
        action()

    def set(self) -> None:
        """Ask the work to end."""
        with self._changing:
            self._is_set = True
            action = self._action
        if action:
            action()


async def in_thread(work: Callable[[Stop], T]) -> T:
    """Return what `work` returns in a thread of its own. A cancelled task stops the work and waits for its end."""
    stop, executor = Stop(), ThreadPoolExecutor(1)
    future = asyncio.get_running_loop().run_in_executor(executor, work, stop)
    executor.shutdown(wait=False)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([future])
        raise
