"""Reads an asynchronous iterable from threads: its event loop runs it, one item at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterable, Iterator
from concurrent.futures import CancelledError, Future

from client.api.inputs import Source

_END = object()


class AsyncSource(Iterator[Source]):
    """An iterator over `images`, for other threads than that of `loop`. `close` ends it, also while it waits."""

    def __init__(self, images: AsyncIterable[Source], loop: asyncio.AbstractEventLoop) -> None:
        self._images, self._loop = aiter(images), loop
        self._changing = threading.Lock()
        self._closed = False
        self._next: Future[object] | None = None

    def __next__(self) -> Source:
        with self._changing:
            if self._closed:
                raise StopIteration
            self._next = asyncio.run_coroutine_threadsafe(self._following(), self._loop)
        try:
            item = self._next.result()
        except CancelledError:
            raise StopIteration from None
        if item is _END:
            raise StopIteration
        return item  # type: ignore[return-value]

    def close(self) -> None:
        """End the iterator."""
        with self._changing:
            self._closed = True
            if self._next:
                self._next.cancel()

    async def _following(self) -> object:
        return await anext(self._images, _END)
