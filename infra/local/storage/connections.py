"""HTTP connections of the Storage server, and the connection faults of a fault plan."""

from __future__ import annotations

import contextlib
import itertools
import logging
import mmap
import re
import socket
import struct
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Protocol

from infra.local import guard
from infra.local.fault_plan import FaultInjector
from infra.local.ports import is_loopback
from infra.local.storage import addresses
from infra.local.storage.answer import Answer, Refusal
from infra.local.storage.compression import decompressed
from infra.local.storage.request import Request

_log = logging.getLogger("infra.local.storage")

# Bytes of a body that is kept in memory; a larger one is written to a file.
_SMALL = 1 << 20

# Bytes of a body with gzip when it is decompressed: of an upload, and of another request.
_MOST_DECOMPRESSED = 1 << 30
_MOST_JSON = 1 << 24


class Answering(Protocol):
    """Answers requests, from any thread."""

    faults: FaultInjector

    @property
    def spool(self) -> Path:
        """The folder for large request bodies, the same as that of object bodies."""

    def answer(self, request: Request, /) -> Answer:
        """The response to a request."""


class Connections(ThreadingHTTPServer):
    """The listening socket and its connections, with one thread per connection."""

    daemon_threads = True
    request_queue_size = 128
    storage: Answering

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address, _Handler)
        self.any_host = not is_loopback(address[0])
        self._open: set[socket.socket] = set()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._open.discard(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log errors, except for a client that disconnects between two requests."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def cut(self) -> None:
        """Close idle connections, on which a stopped server must not answer further requests."""
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """Reads a complete request, sends its response, and continues with the next request on the connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Connections
    begun = False  # whether a part of the response may have been sent

    def _serve(self) -> None:
        storage, self.begun = self.server.storage, False
        try:
            host, origin = self.headers.get("Host"), self.headers.get("Origin")
            if why := guard.refusal(host, origin, any_host=self.server.any_host):
                raise Refusal(403, why, "forbidden")
            with self._request() as request:
                if reset := storage.faults.happens("resets"):
                    processed = storage.faults.number("obeyed") < 0.5
                answer = Answer()
                if not reset or processed:
                    if storage.faults.refuses():
                        busy = storage.faults.number("code") < 0.5
                        status, reason = (429, "rateLimitExceeded") if busy else (503, "backendError")
                        answer = Answer.refusal(status, "Refused by the fault plan", reason)
                    else:
                        answer = storage.answer(request)
                with closing(answer):
                    if reset or answer.broken_after == -1:
                        _reset(self.connection)
                        self.close_connection = True
                        return
                    if request.method == "GET" and answer.status >= 400:
                        # A client that streams a download may not read an error's body, and would keep the connection.
                        answer.headers["Connection"] = "close"
                        self.close_connection = True
                    slow = request.method == "GET" and storage.faults.happens("slow_reads")
                    self._send(answer, pause_s=storage.faults.plan.slow_s if slow else 0.0)
                    if answer.broken_after is not None:
                        self.wfile.flush()
                        self.connection.shutdown(socket.SHUT_RDWR)  # what was sent arrives, unlike before a reset
                        self.close_connection = True
        except Refusal as exc:
            self.close_connection = True  # the rest of the body is unread
            self._send(Answer.refusal(exc.status, str(exc), exc.reason))
        except ConnectionError:
            self.close_connection = True
        except Exception:
            self.close_connection = True
            _log.exception("%s %s", self.command, self.path)
            if not self.begun:
                self._send(Answer.refusal(500, "The local Storage server failed; see its log"))

    def _send(self, answer: Answer, pause_s: float = 0.0) -> None:
        head = answer.head()
        self.begun = True
        answer.send(self, head, pause_s)

    do_GET = do_HEAD = do_OPTIONS = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    @contextlib.contextmanager
    def _request(self) -> Iterator[Request]:
        """Read a request with its body, even if it will be refused. A large body is written to a file."""
        length = self.headers.get("Content-Length", "0")
        chunked = self.headers.get("Transfer-Encoding", "").lower() == "chunked"
        if not length.isdecimal():
            raise Refusal(400, f"Content-Length must be a whole number, not {length!r}", "invalid")
        encoded = self._is_encoded()
        if not chunked and not encoded and int(length) <= _SMALL:
            yield Request(self.command, self.path, self.headers, self._read(int(length)))
            return
        pieces = self._pieces(self._chunks() if chunked else [int(length)])
        if encoded:
            pieces = decompressed(pieces, _MOST_DECOMPRESSED if "/upload/" in self.path else _MOST_JSON)
        first, size = list[bytes](), 0
        while size <= _SMALL and (piece := next(pieces, None)) is not None:
            first.append(piece)
            size += len(piece)
        if size <= _SMALL:
            yield Request(self.command, self.path, self.headers, b"".join(first))
            return
        with NamedTemporaryFile(dir=self.server.storage.spool, prefix="spool-") as file:
            for piece in itertools.chain(first, pieces):
                file.write(piece)
            file.flush()
            body = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            yield Request(self.command, self.path, self.headers, body, Path(file.name))

    def _is_encoded(self) -> bool:
        """Whether the body itself is compressed. For the XML API and for chunks, the header describes the object."""
        path, _, query = self.path.partition("?")
        return (
            self.headers.get("Content-Encoding", "").lower() == "gzip"
            and addresses.is_json(addresses.path_of(path, self.headers.get("Host", "")))
            and not re.search(r"(?:^|&)(?:upload_id=|contentEncoding=gzip)", query)
        )

    def _pieces(self, sizes: Iterable[int]) -> Iterator[bytes]:
        for size in sizes:
            while size:
                piece = self._read(min(size, _SMALL))
                size -= len(piece)
                yield piece

    def _chunks(self) -> Iterator[int]:
        """Yield the size of each chunk of a body, which the caller must read before the next one (RFC 9112)."""
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
            raise ConnectionAbortedError("the client disconnected within a body")
        return found

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing, to keep the twin's terminal readable."""


def _reset(connection: socket.socket) -> None:
    """Reset a connection (RST), like a network failure; unsent data is dropped."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
