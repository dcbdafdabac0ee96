"""Server-sent events: every open page gets the rows that changed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

_GATHER_S = 0.05
"""Seconds for which changed rows are gathered into one event: a page draws no faster."""

_ALIVE_S = 15.0
"""Seconds after which an event is sent, so that a connection that is gone is noticed."""

_MAX_ROWS = 20_000
"""Changed rows that wait for a slow page. With more, the page loads its history again."""


class Events:
    """Rows go in from any thread, and out to each page in the event loop. A row that changes twice goes out once."""

    def __init__(self) -> None:
        self._pages: set[_Page] = set()
        self._closed = False
        self.at_close: set[Callable[[], None]] = set()
        """What `close` calls first: requests that wait for an answer are ended."""

    def publish(self, row: dict[str, Any]) -> None:
        """Send a row to every page."""
        for page in tuple(self._pages):
            page.add(row)

    def tell(self, name: str, data: Any) -> None:
        """Send another event to every page, such as `notice` with a sentence. A slow page gets the latest of a name."""
        for page in tuple(self._pages):
            page.tell(name, data)

    @property
    def is_watched(self) -> bool:
        """Whether a page is open."""
        return bool(self._pages)

    def close(self) -> None:
        """End all streams."""
        self._closed = True
        for end in tuple(self.at_close):
            end()
        for page in tuple(self._pages):
            page.wake()

    async def stream(self) -> AsyncIterator[str]:
        """Yield the events of one page until it leaves or `close` is called."""
        page = _Page()
        self._pages.add(page)
        try:
            yield "retry: 500\nevent: hello\ndata: {}\n\n"
            while not self._closed:
                try:
                    await asyncio.wait_for(page.changed.wait(), _ALIVE_S)
                except TimeoutError:
                    yield "event: alive\ndata: {}\n\n"
                    continue
                await asyncio.sleep(_GATHER_S)
                for name, data in page.take():
                    yield f"event: {name}\ndata: {json.dumps(data)}\n\n"
        finally:
            self._pages.discard(page)


class _Page:
    """What one page has not got yet."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._rows: dict[tuple[str, int], dict[str, Any]] = {}
        self._others: dict[str, Any] = {}

    def add(self, row: dict[str, Any]) -> None:
        self._call(self._add, row)

    def tell(self, name: str, data: Any) -> None:
        self._call(self._tell, name, data)

    def wake(self) -> None:
        self._call(bool)

    def take(self) -> list[tuple[str, Any]]:
        self.changed.clear()
        rows, taken = list(self._rows.values()), list(self._others.items())
        self._rows, self._others = {}, {}
        if len(rows) > _MAX_ROWS:
            return [*taken, ("reload", {})]
        return [*taken, ("rows", rows)] if rows else taken

    def _call(self, action: Any, *arguments: Any) -> None:
        def act() -> None:
            action(*arguments)
            self.changed.set()

        with suppress(RuntimeError):  # the event loop has ended, and its pages with it
            self._loop.call_soon_threadsafe(act)

    def _add(self, row: dict[str, Any]) -> None:
        if len(self._rows) <= _MAX_ROWS:
            self._rows[row["job"], row["n"]] = row

    def _tell(self, name: str, data: Any) -> None:
        self._others[name] = data
