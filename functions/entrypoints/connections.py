"""The state of a connection: the received part of a request, the deadline, and the unsent part of the response.

The main loop of gunicorn_worker.py receives heads and small bodies, and sends responses, without a thread for each
connection. Nothing here blocks. request_head.py has the limits of heads, and request_body.py those of bodies.
"""

from __future__ import annotations

import io
import socket
import time
from contextlib import suppress
from typing import Any

from gunicorn.http.body import LengthReader
from gunicorn.http.parser import RequestParser

from functions.entrypoints.request_body import BodyDeadline, TimedOutBody
from functions.entrypoints.request_head import RequestError, check, is_complete

HEAD_S = 10.0
"""Timeout in seconds from a new connection to its first byte, and from the first byte of a head to its end."""

SMALL_BYTES = 131_072
"""Maximum bytes of a body that the main loop receives; a thread reads a larger one. References, notifications and small
images fit. The 900 connections that gunicorn_worker.py allows hold at most 120 MB of such bodies.
"""

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_TIMEOUT = RequestError(408, f"the request line and the headers arrived too slowly; they must arrive in {HEAD_S:g} s")
_INCOMPLETE = RequestError(400, "the connection closed before the end of the headers")


class ResponseBuffer:
    """A buffer for the response. gunicorn and the application use it as the socket of the request."""

    def __init__(self, sock: socket.socket) -> None:
        self.shutdown = sock.shutdown
        """request_body.py calls it to stop reading a slow body."""
        self.data = bytearray()

    def sendall(self, data: bytes) -> None:
        """Append bytes of the response."""
        self.data += data


class Connection:
    """One connection, its current request, and the response to it."""

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any) -> None:
        self.socket, self.client, self.server = sock, client, server
        self.sock = ResponseBuffer(sock)
        """gunicorn requires this name."""
        self.parser = RequestParser(cfg, sock, client)
        self.request: Any = None
        self.keep_alive = True
        """Whether the connection accepts another request after this one."""
        self.deadline = 0.0
        """The time by the monotonic clock at which the main loop stops waiting for the sender."""
        self.linger_bytes = 0
        """Bytes that are still read and ignored; more than 0 only after this side has closed the connection."""
        self._received = bytearray()
        """The received part of the head and, once the head is parsed, of a small body."""
        self._body_deadline: BodyDeadline | None = None

    @property
    def is_streamed(self) -> bool:
        """Whether a thread must read the body of the request."""
        return not isinstance(self.request.body, io.BytesIO | TimedOutBody)

    @property
    def output(self) -> bytearray:
        """The unsent part of the response."""
        return self.sock.data

    def send(self) -> None:
        """Send as much of the response as the socket accepts without blocking."""
        with suppress(BlockingIOError):
            while self.output:
                del self.output[: self.socket.send(self.output)]

    def next_request(self, idle_s: float) -> bool:
        """Prepare for the next request. Returns whether it is complete: the sender may pipeline requests."""
        self.request, self._body_deadline = None, None
        self._received.clear()
        self.deadline = time.monotonic() + idle_s
        pipelined = self.parser.unreader.take_buffered()
        return bool(pipelined) and self.receive(pipelined)

    def receive(self, data: bytes) -> bool:
        """Process received data. Returns whether the request is ready for a thread.

        Raises RequestError, or an exception of the parser.
        """
        if self.request is None:
            if not self._received:
                self.deadline = max(self.deadline, time.monotonic() + HEAD_S)
            self._received += data
            if not is_complete(self._received, len(self._received) - len(data)):
                return False
            self._parse()
            if self._body_deadline is None:
                return True
        else:
            self._received += data
        return self._collect()

    def expire(self) -> bool:
        """Process the end of the deadline. Returns like `receive`: a thread answers a request without its body."""
        if self._body_deadline:
            self.request.force_close()
            self.request.body = TimedOutBody()
        elif self._received:
            raise _TIMEOUT
        return self._body_deadline is not None

    def end(self) -> bool:
        """Process the end of the sender's data. Returns like `receive`: a thread answers a request without its body."""
        if self._body_deadline:
            self.request.force_close()
            self.request.body = io.BytesIO(self._received)
        elif self._received:
            raise _INCOMPLETE
        return self._body_deadline is not None

    def _parse(self) -> None:
        self.parser.unreader.unread(bytes(self._received))
        self._received.clear()
        self.request = next(self.parser)
        check(self.request)
        self.request.path = self.request.path or "/"  # an absolute target may have no path (RFC 9110, 4.2.3)
        if self.request._expected_100_continue:
            self.request._expected_100_continue = False  # gunicorn would send it, and block on the socket
            if self.socket.send(_CONTINUE) < len(_CONTINUE):
                raise _INCOMPLETE
        length = (
            self.request.body.reader.length if isinstance(self.request.body.reader, LengthReader) else SMALL_BYTES + 1
        )
        if length == 0:
            self.request.body = io.BytesIO()
        elif length <= SMALL_BYTES:
            self._body_deadline = BodyDeadline()
            self._received += self.parser.unreader.take_buffered()

    def _collect(self) -> bool:
        assert self._body_deadline
        length = self.request.body.reader.length
        self._body_deadline.received(len(self._received))
        self.deadline = self._body_deadline.time()
        if len(self._received) < length:
            return False
        self.request.body = io.BytesIO(self._received[:length])
        self.parser.unreader.unread(bytes(self._received[length:]))
        self._received.clear()
        return True
