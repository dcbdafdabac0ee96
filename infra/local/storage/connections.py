"""The HTTP side of the Storage server: connections, kept or cut, and what a fault plan does to them."""

from __future__ import annotations

import contextlib
import mmap
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Protocol

from infra.local.fault_plan import Faults
from infra.local.storage.answer import Answer, Refusal
from infra.local.storage.request import Request

_SMALL = 1 << 20


class Answering(Protocol):
    """Whoever knows the answers. From any thread."""

    faults: Faults

    @property
    def spool(self) -> Path:
        """Where big bodies are put while they come; the folder of the objects' own."""

    def answer(self, request: Request, /) -> Answer:
        """The answer to a request."""


class Connections(ThreadingHTTPServer):
    """The listening socket and the connections that clients keep open, a thread each."""

    daemon_threads = True
    request_queue_size = 128
    storage: Answering

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address, _Handler)
        self._open: set[socket.socket] = set()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._open.discard(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed between two requests is no failure of the server."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def cut(self) -> None:
        """End connections that clients keep for their next request: a stopped server must not answer it."""
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """Reads a request to its end, has it answered, writes the answer; then the next on the same connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Connections

    def _serve(self) -> None:
        storage = self.server.storage
        try:
            with self._request() as request:
                if reset := storage.faults.happens("resets"):
                    obeyed = storage.faults.number("obeyed") < 0.5
                answer = Answer()
                if not reset or obeyed:
                    if storage.faults.refuses():
                        busy = storage.faults.number("code") < 0.5
                        status, reason = (429, "rateLimitExceeded") if busy else (503, "backendError")
                        answer = Answer.refusal(status, "The fault plan that was asked for", reason)
                    else:
                        answer = storage.answer(request)
                with closing(answer):
                    if reset:
                        _reset(self.connection)
                        self.close_connection = True
                        return
                    if request.method == "GET" and answer.status >= 400:
                        # A client that streams a download leaves a refusal's body unread, and so the connection open.
                        answer.headers["Connection"] = "close"
                        self.close_connection = True
                    slow = request.method == "GET" and storage.faults.happens("slow_reads")
                    answer.send(self, pause_s=storage.faults.day.slow_s if slow else 0.0)
        except Refusal as exc:
            self.close_connection = True  # the body could not be read to its end
            Answer.refusal(exc.status, str(exc), exc.reason).send(self)
        except ConnectionError:
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    @contextlib.contextmanager
    def _request(self) -> Iterator[Request]:
        """The request with its body: an early refusal must not leave it on the wire. A big one is in a file."""
        length = self.headers.get("Content-Length", "0")
        chunked = self.headers.get("Transfer-Encoding", "").lower() == "chunked"
        if not length.isdecimal():
            raise Refusal(400, f"Content-Length must be a whole number, not {length!r}", "invalid")
        if not chunked and int(length) <= _SMALL:
            yield Request(self.command, self.path, self.headers, self._read(int(length)))
            return
        with NamedTemporaryFile(dir=self.server.storage.spool, prefix="spool-") as file:
            for size in self._chunks() if chunked else [int(length)]:
                while size:
                    size -= file.write(self._read(min(size, _SMALL)))
            file.flush()
            body = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if file.tell() else b""
            yield Request(self.command, self.path, self.headers, body, Path(file.name))

    def _chunks(self) -> Iterator[int]:
        """The sizes of the chunks of a body, each to be read before the next is asked for (RFC 9112)."""
        while digits := self.rfile.readline(100).partition(b";")[0].strip():
            if digits.strip(b"0123456789abcdefABCDEF"):
                raise Refusal(400, "The size of a chunk must be a hexadecimal number", "invalid")
            if not (size := int(digits, 16)):
                break
            yield size
            self.rfile.readline(3)
        while self.rfile.readline(_SMALL).strip():
            pass

    def _read(self, length: int) -> bytes:
        found = self.rfile.read(length) if length else b""
        if len(found) < length:
            raise ConnectionAbortedError("the client went away within a body")
        return found

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the twin's terminal is for people."""


def _reset(connection: socket.socket) -> None:
    """End a connection as a broken network does: with RST, nothing that waits to be sent is sent."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
