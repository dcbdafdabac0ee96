"""A mapping from texts to values for as many texts as a command has images, in a temporary file and not in memory."""

from __future__ import annotations

import sqlite3
from types import TracebackType
from typing import Any, Self

from client.text import SendError, printable


class TextMap:
    """A context manager. Several threads may use it one after the other, but not at the same time.

    However many texts there are, it takes about 2 MB of memory: SQLite writes more than that to a temporary file that
    has no name and disappears with the process. All methods raise SendError when that file cannot be written.
    """

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._run("PRAGMA journal_mode=OFF")
        self._run("CREATE TABLE texts (text BLOB PRIMARY KEY, value) WITHOUT ROWID")
        self._run("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def add(self, text: str, value: str | int | None = None) -> bool:
        """Note a text with its value, and return True. Returns False, and changes nothing, when the text is there."""
        return self._run("INSERT OR IGNORE INTO texts VALUES (?, ?)", _bytes(text), value).rowcount > 0

    def __getitem__(self, text: str) -> Any:
        return self._run("SELECT value FROM texts WHERE text = ?", _bytes(text)).fetchone()[0]

    def __setitem__(self, text: str, value: str | int) -> None:
        self._run("UPDATE texts SET value = ? WHERE text = ?", value, _bytes(text))

    def _run(self, statement: str, *values: object) -> sqlite3.Cursor:
        try:
            return self._database.execute(statement, values)
        except sqlite3.Error as exc:
            why = printable(str(exc))[:120]
            raise SendError(f"the names of the images do not fit into a temporary file: {why}", for_all=True) from exc


def _bytes(text: str) -> bytes:
    """Return a text in UTF-8, also one with bytes that are none, as file names may have."""
    return text.encode("utf-8", "surrogatepass")
