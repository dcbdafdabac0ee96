"""The HTTP server for GET /health of the pull worker, its only endpoint. HEALTH_ADDRESS sets the address."""

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
"""Timeout in seconds for a request and its reply together. Idle or slow senders lose their connection after it."""

_HEAD_BYTES = 8192
"""Maximum bytes of the request line and the headers. Probes send a few hundred."""

_CONNECTIONS = 200
"""Maximum open connections; above it the oldest is closed, so that new probes are always answered."""

_REQUEST = re.compile(rb"GET /health HTTP/1\.[01]\r\n")


@contextmanager
def serve_health(address: str, report: Report) -> Iterator[None]:
    """Serve GET /health on `address`, an IPv4 address and a port, until the block ends.

    The reply is 200 or 503 with the JSON of `report`. Raises SettingsError when the address is not available.
    """
    host, _, port = address.rpartition(":")
    try:
        listener = socket.create_server((host, int(port)), backlog=_CONNECTIONS)
    except (OSError, OverflowError) as exc:
        raise SettingsError(f"HEALTH_ADDRESS is {address!r}; the worker cannot listen there ({exc})") from exc
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
            writer.transport.abort()  # the sender has closed, is too slow, or sent no HTTP request
        finally:
            del connections[writer]
            writer.close()

    server = await asyncio.start_server(answer, sock=listener, limit=_HEAD_BYTES)
    await stop.wait()
    server.close()
    while connections:  # wait until each handler returns: asyncio would log a cancelled handler as a failure
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
