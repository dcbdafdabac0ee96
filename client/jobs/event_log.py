"""The file of --log: one line for each event of a job, with its time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from client.text import plain, printable


class EventLog:
    """Appends events to a file; without a path it drops them. A file that cannot be written is reported once."""

    def __init__(self, path: Path | None, warn: Callable[[str], None]) -> None:
        self._path, self._warn = path, warn

    def write(self, event: str) -> None:
        """Append one event, in one line."""
        if self._path is None:
            return
        line = f"{datetime.now(UTC).isoformat(timespec='milliseconds')} {printable(event)}\n"
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError as exc:
            self._warn(f"--log cannot be written to {printable(str(self._path))}: {plain(exc)}")
            self._path = None
