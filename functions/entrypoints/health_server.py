"""GET /health of the pull worker, which listens to nothing else. HEALTH_ADDRESS sets its address."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from functions import bootstrap
from functions.settings import SettingsError

Report = Callable[[], tuple[bool, dict[str, Any]]]
"""Returns whether the worker works, and the JSON object of the reply."""

_SENDER_S = 5.0
"""Seconds for a whole request and its reply."""

_HEAD_BYTES = 8192
_CONNECTIONS = 200
"""Open connections; beyond them the oldest is closed."""

_REQUEST = re.compile(rb"GET /health HTTP/1\.[01]\r\n")


@contextmanager
def answering(address: str, report: Report) -> Iterator[None]:
    """Answer GET /health on `address:port` until the block ends: 200 or 503, and JSON. Raises SettingsError."""
    host, _, port = address.rpartition(":")
    try:
        listener = socket.create_server((host, int(port)), backlog=_CONNECTIONS)
    except (OSError, OverflowError) as exc:
        raise SettingsError(f"HEALTH_ADDRESS is {address!r}; nothing can listen there ({exc})") from exc
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        thread = bootstrap.supervisor().start("health", lambda: runner.run(_serve(listener, report, stop)))
        try:
            yield
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()


async def _serve(listener: socket.socket, report: Report, stop: asyncio.Event) -> None:
    connections: dict[asyncio.StreamWriter, None] = {}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections[writer] = None
        if len(connections) > _CONNECTIONS:
            next(iter(connections)).transport.abort()
        try:
            async with asyncio.timeout(_SENDER_S):
                writer.write(_reply(await reader.readuntil(b"\r\n\r\n"), report))
                await writer.drain()
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            writer.transport.abort()  # the sender is gone, too slow, or sends no HTTP request
        finally:
            del connections[writer]
            writer.close()

    server = await asyncio.start_server(answer, sock=listener, limit=_HEAD_BYTES)
    await stop.wait()
    server.close()
    while connections:  # each ends by itself: asyncio would log its cancellation as a failure
        for writer in connections:
            writer.transport.abort()
        await asyncio.sleep(0)


def _reply(head: bytes, report: Report) -> bytes:
    if not _REQUEST.match(head):
        return b"HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    works, counts = report()
    body = json.dumps(counts).encode()
    status = "200 OK" if works else "503 Service Unavailable"
    return f"HTTP/1.0 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
