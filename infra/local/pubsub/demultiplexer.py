"""One port for gRPC and REST: gRPC connections are piped to the gRPC server, HTTP/1.1 requests are answered as REST.

grpcio cannot share its port. Piping costs the server a twentieth of its time and saves callers a second address, as
with Google's emulator.
"""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import logging
import weakref
from http import HTTPStatus
from typing import cast

from infra.local import guard
from infra.local.ports import is_loopback
from infra.local.pubsub.header_limits import HeaderLimits, is_complete
from infra.local.pubsub.monitoring import Monitoring
from infra.local.pubsub.rest import failed

_log = logging.getLogger("infra.local.pubsub")

# The first bytes of a gRPC (HTTP/2) connection.
_HTTP2 = b"PRI * HTTP/2.0\r\n\r\n"

# Bytes of one read.
_CHUNK = 1 << 18

# Bytes of a request's body: a publish of 10 MB in base64, with some reserve.
_BODY_LIMIT = 20_000_000


# Seconds in which connections that are being accepted or closed get that far. Each step takes microseconds.
_ACCEPTING_S = 0.01


class Demultiplexer:
    """Listens between `open` and `close`, in front of a gRPC server on another port of this machine."""

    def __init__(self, grpc_port: int, rest: Monitoring, limits: HeaderLimits) -> None:
        self._grpc_port, self._rest, self._limits = grpc_port, rest, limits
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._writers: weakref.WeakSet[asyncio.StreamWriter] = weakref.WeakSet()
        self._pipes: set[_Pipe] = set()
        self._accepted, self._any_host = 0, False

    async def open(self, host: str, port: int) -> int:
        """Listen on a port of an address, 0 for a free one; returns the port. OSError when it is taken."""
        self._any_host = not is_loopback(host)
        self._server = await asyncio.start_server(self._accept, host, port)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening, cancel HTTP requests that are being answered, and end the connections to the gRPC server."""
        await self._stop_accepting()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        for writer in self._writers:  # also where the client does not read what is left
            writer.transport.abort()
        for pipe in self._pipes:
            pipe.abort()
        await asyncio.sleep(_ACCEPTING_S)  # the event loop closes the sockets

    async def _stop_accepting(self) -> None:
        """Close the socket that listens when every accepted connection has begun: asyncio would leave others open."""
        if not self._server:
            return
        loop, known = asyncio.get_running_loop(), -1
        for listening in self._server.sockets:
            loop.remove_reader(listening.fileno())
        while known < self._accepted:
            known = self._accepted
            await asyncio.sleep(_ACCEPTING_S)
        self._server.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._accepted += 1
        self._writers.add(writer)
        task = asyncio.create_task(self._handle(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passed_on = False
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if head == _HTTP2:
                first = b""
                while not is_complete(first):
                    if not (more := await reader.read(_CHUNK)):
                        return
                    first += more
                await self._pass_on(first, writer)
                passed_on = True
            while not passed_on and await self._answer(head, reader, writer):
                head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            await _send(writer, *failed(431, "INVALID_ARGUMENT", "The headers are longer than 64 KiB"), stays=False)
        except (OSError, asyncio.IncompleteReadError):  # the client disconnected
            pass
        finally:
            if not passed_on:
                writer.close()

    async def _pass_on(self, first: bytes, writer: asyncio.StreamWriter) -> None:
        client = cast(asyncio.Transport, writer.transport)
        pipe = _Pipe(self._pipes, writer=writer)
        client.pause_reading()  # until the connection to the gRPC server is open
        client.set_protocol(pipe)
        loop = asyncio.get_running_loop()
        back = _Pipe(self._pipes, peer=client)
        pipe.peer, _ = await loop.create_connection(lambda: back, "127.0.0.1", self._grpc_port)
        self._limits.learn(pipe.peer.get_extra_info("sockname")[1], first)
        pipe.peer.write(_HTTP2 + first)
        client.resume_reading()

    async def _answer(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; returns whether the connection stays open."""
        line, _, rest = head.partition(b"\r\n")
        verb, target, version = (*line.decode("latin-1").split(), "", "", "")[:3]
        try:
            headers = http.client.parse_headers(io.BytesIO(rest))
        except http.client.HTTPException as exc:
            return await _send(writer, *failed(431, "INVALID_ARGUMENT", f"The headers are refused: {exc}"), stays=False)
        if why := guard.refusal(headers.get("Host"), headers.get("Origin"), any_host=self._any_host):
            return await _send(writer, *failed(403, "PERMISSION_DENIED", why), stays=False)
        length = headers.get("Content-Length", "0")
        known = length.isdecimal() and int(length) <= _BODY_LIMIT and "Transfer-Encoding" not in headers
        if version != "HTTP/1.1" or not known:
            wanted = f"The request must be HTTP/1.1 with a Content-Length of at most {_BODY_LIMIT}"
            return await _send(writer, *failed(400, "INVALID_ARGUMENT", wanted), stays=False)
        if headers.get("Expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await reader.readexactly(int(length))
        try:
            status, document = await self._rest.answer(verb, target, body)
        except Exception:
            _log.exception("%s %s", verb, target)
            status, document = failed(500, "INTERNAL", "The local Pub/Sub server failed; see its log")
        return await _send(writer, status, document, stays=headers.get("Connection", "").lower() != "close")


async def _send(writer: asyncio.StreamWriter, status: int, document: object, *, stays: bool) -> bool:
    """Send a response; returns `stays`, whether the connection stays open."""
    text = json.dumps(document, indent=2).encode() + b"\n"
    writer.write(
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json; charset=UTF-8\r\n"
        f"Content-Length: {len(text)}\r\nConnection: {'keep-alive' if stays else 'close'}\r\n\r\n".encode()
        + text
    )
    await writer.drain()
    return stays


class _Pipe(asyncio.Protocol):
    """Forwards received bytes to its peer, at the peer's pace. When one end closes, the other is closed too."""

    def __init__(
        self,
        pipes: set[_Pipe],
        *,
        peer: asyncio.Transport | None = None,
        writer: asyncio.StreamWriter | None = None,
    ) -> None:
        self._pipes, self.peer = pipes, peer
        pipes.add(self)
        self._writer = writer  # a garbage-collected writer would close its connection

    def data_received(self, data: bytes) -> None:
        if self.peer:
            self.peer.write(data)

    def pause_writing(self) -> None:
        if self.peer:
            self.peer.pause_reading()

    def resume_writing(self) -> None:
        if self.peer:
            self.peer.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._pipes.discard(self)
        if self.peer:
            self.peer.close()

    def abort(self) -> None:
        """Close the connection to the peer at once."""
        if self.peer:
            self.peer.abort()
