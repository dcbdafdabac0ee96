"""Pauses that grow while something fails again and again, and messages that appear once while it does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Backoff:
    """Seconds to wait after failures: 1, then twice as many each time, at most `most_s`. Thread-safe."""

    def __init__(self, most_s: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._most_s, self._clock, self._lock = most_s, clock, threading.Lock()
        self._pause_s, self._until = 0.0, 0.0

    def failed(self) -> None:
        """Begin a longer pause. Failures during a pause are part of the one that began it."""
        with self._lock:
            if self._clock() >= self._until:
                self._pause_s = min(self._most_s, 2 * self._pause_s or 1.0)
                self._until = self._clock() + self._pause_s

    def succeeded(self) -> None:
        """End the pauses."""
        with self._lock:
            self._pause_s = self._until = 0.0

    @property
    def left_s(self) -> float:
        """The seconds of the pause that are left."""
        with self._lock:
            return max(0.0, self._until - self._clock())


class Notices:
    """Shows what is wrong once, until it is over. Thread-safe."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show, self._lock = show, threading.Lock()
        self._current: set[str] = set()

    def begin(self, subject: str, text: str) -> None:
        """Show a text, unless the same subject is wrong already."""
        with self._lock:
            is_new = subject not in self._current
            self._current.add(subject)
        if is_new:
            self._show(text)

    def end(self, subject: str, text: str = "") -> None:
        """Show the text if the subject was wrong."""
        with self._lock:
            was_wrong = subject in self._current
            self._current.discard(subject)
        if was_wrong and text:
            self._show(text)
