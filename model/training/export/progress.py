"""Progress of slow steps on stderr: what is being done, and how long the rest takes."""

from __future__ import annotations

import sys
import time

from model.text import printable

# Seconds between two lines where a line cannot be rewritten, as in a file or a CI log.
_QUIET_S = 10.0


def say(line: str) -> None:
    """Print a line about a step. It may hold names of an untrusted archive."""
    print(printable(line), file=sys.stderr, flush=True)


class Progress:
    """Counts equal steps: one line that is rewritten at a terminal, elsewhere a line every ten seconds."""

    def __init__(self, what: str, steps: int) -> None:
        self._what, self._steps, self._done = what, steps, 0
        self._began = time.monotonic()
        self._said = -_QUIET_S
        self._width = 0

    def begin(self, name: str) -> None:
        """The next step begins; `name` says what it works on."""
        now = time.monotonic()
        line = f"{self._what} {self._done + 1} of {self._steps}: {name}{self._left(now)}"
        self._done += 1
        if sys.stderr.isatty():
            print(f"\r{line:<{self._width}}", end="", file=sys.stderr, flush=True)
            self._width = len(line)
        elif now - self._said >= _QUIET_S:
            self._said = now
            say(line)

    def end(self) -> None:
        """Report the time that all steps took."""
        line = f"{self._what}: done in {_duration(time.monotonic() - self._began)}"
        start = "\r" if sys.stderr.isatty() else ""
        print(f"{start}{line:<{self._width}}", file=sys.stderr, flush=True)

    def _left(self, now: float) -> str:
        if not self._done:
            return ""
        return f", about {_duration((now - self._began) / self._done * (self._steps - self._done))} left"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
