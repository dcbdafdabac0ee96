"""Lines of progress: each begins before its work and ends with the result and the seconds."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import TextIO

from infra.check.terraform import Outcome

# Seconds between two counts at a terminal.
EVERY_S = 1.0


@dataclass
class Line:
    """An unfinished line. `width`: columns of the name. A pipe gets plain text; a terminal also sees the seconds."""

    out: TextIO
    name: str
    width: int
    _began: float = field(default_factory=time.monotonic)
    _head: str = ""

    def __post_init__(self) -> None:
        self.say(f"{self.name:{self.width}} ")

    def say(self, text: str) -> None:
        """Add text to the line, at once."""
        self._head += text
        self._write(text)

    def end(self, outcome: Outcome) -> None:
        """Finish the line: the result, its output and the seconds since the line began."""
        seconds = f"{self._seconds():.1f} s"
        if outcome.ok:
            self._write(f"ok   {outcome.output} ({seconds})\n")
        else:
            self._write(f"FAIL ({seconds})\n{textwrap.indent(outcome.output, '    ')}\n")

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Show the seconds during the block, once a second; only at a terminal."""
        if not self.out.isatty():
            yield
            return
        done = Event()

        def count() -> None:
            while not done.wait(EVERY_S):
                self._write(f"\r{self._head}{self._seconds():.0f} s")

        thread = Thread(target=count, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            self._write(f"\r{self._head}")

    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def _write(self, text: str) -> None:
        self.out.write(text)
        self.out.flush()
