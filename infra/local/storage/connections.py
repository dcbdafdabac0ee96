"""The HTTP side of the Storage server: connections, kept or cut, and what a bad day does to them."""

from __future__ import annotations

import contextlib
import socket
import struct
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from infra.local.chaos import Dice
from infra.local.storage.answer import Answer
from infra.local.storage.requests import StorageRequest


class Answering(Protocol):
    """Whoever knows the answers. From any thread."""

    dice: Dice

    def answer(self, request: StorageRequest, answer: Answer, /) -> None:
        """Fill in the answer to a request."""


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
        answer, storage = Answer(), self.server.storage
        try:
            request = StorageRequest(self)
            if reset := storage.dice.happens("resets"):
                obeyed = storage.dice.number("obeyed") < 0.5
            if not reset or obeyed:
                if storage.dice.refuses():
                    answer.refuse(503, "The bad day that was asked for", "backendError")
                else:
                    storage.answer(request, answer)
            if reset:
                _reset(self.connection)
                self.close_connection = True
                return
            if request.method == "GET" and answer.status >= HTTPStatus.BAD_REQUEST:
                # A client that streams a download leaves the body of a refusal unread, and so the connection open.
                answer["Connection"] = "close"
                self.close_connection = True
            slow = request.method == "GET" and storage.dice.happens("slow_reads")
            answer.send(self, pause_s=storage.dice.day.slow_s if slow else 0.0)
        except ConnectionError:
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the twin's terminal is for people."""


def _reset(connection: socket.socket) -> None:
    """End a connection as a broken network does: with RST, nothing that waits to be sent is sent."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
