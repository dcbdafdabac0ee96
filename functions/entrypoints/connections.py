"""The state of a connection: the received part of a request, the deadline, and the unsent part of the response.

The main loop of http_server.py receives heads and small bodies, and sends responses, without a thread for each
connection. Nothing here blocks. request_head.py has the limits of heads, and request_body.py those of bodies.
"""

from __future__ import annotations

import io
import socket
import time
from contextlib import suppress

from functions.entrypoints.body_stream import BodyStream, ChunkedBody, SizedBody, skip
from functions.entrypoints.http import HttpRequest
from functions.entrypoints.request_body import BodyDeadline, RequestBody, TimedOutBody
from functions.entrypoints.request_head import Head, RequestError, is_complete, parse

HEAD_S, IDLE_S = 10.0, 75.0
"""Timeouts in seconds: from a new connection to its first byte, and from the first byte of a head to its end; and
between two requests.
"""

SMALL_BYTES = 131_072
"""Maximum bytes of a body that the main loop receives; a thread reads a larger one. References, notifications and small
images fit. The 900 connections that http_server.py allows hold at most 120 MB of such bodies.
"""

DRAIN_BYTES = 65_536
"""Maximum bytes of an unread body that are skipped to reach the next request; above it the connection is closed."""

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_TIMEOUT = RequestError(408, f"the request line and the headers arrived too slowly; they must arrive in {HEAD_S:g} s")
_INCOMPLETE = RequestError(400, "the connection closed before the end of the headers")


class Connection:
    """One connection, its current request, and the response to it."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.events = 0
        """What the main loop waits for: READ or WRITE of poller.py, or 0."""
        self.head: Head | None = None
        self.body = RequestBody(b"")
        self.output = b""
        """The unsent part of the response."""
        self.keep_alive = True
        """Whether the connection accepts another request after this one."""
        self.deadline = time.monotonic() + HEAD_S
        """The time by the monotonic clock at which the main loop stops waiting for the sender."""
        self.linger_bytes = 0
        """Bytes that are still read and ignored; more than 0 only after this side has closed the connection."""
        self._received = bytearray()
        """Received bytes of the head, then of the body, then of the next requests: a sender may pipeline them."""
        self._searched = 0
        self._body_deadline: BodyDeadline | None = None

    @property
    def is_streamed(self) -> bool:
        """Whether a thread must read the body of the request."""
        return self.body.stream is not None

    @property
    def request(self) -> HttpRequest:
        """The request, for a route."""
        head = self.head
        assert head
        return HttpRequest(head.method, head.path, head, self.body, head.query, head.root)

    def send(self) -> None:
        """Send as much of the response as the socket accepts without blocking."""
        with suppress(BlockingIOError):
            self.output = self.output[self.socket.send(self.output) :]

    def next_request(self) -> bool:
        """Prepare for the next request. Returns whether it is complete."""
        self.head, self.body, self._body_deadline = None, RequestBody(b""), None
        self._searched = 0
        self.deadline = time.monotonic() + (HEAD_S if self._received else IDLE_S)
        return bool(self._received) and self._advance()

    def receive(self, data: bytes) -> bool:
        """Process received data. Returns whether the request is ready for a route. Raises RequestError."""
        if self.head is None and not self._received:
            self.deadline = max(self.deadline, time.monotonic() + HEAD_S)
        self._received += data
        return self._advance()

    def expire(self) -> bool:
        """Process the end of the deadline. Returns like `receive`: a route answers a request without its body."""
        if self._body_deadline:
            self.keep_alive, self.body = False, RequestBody(stream=TimedOutBody(), length=1)
        elif self._received:
            raise _TIMEOUT
        return self._body_deadline is not None

    def end(self) -> bool:
        """Process the end of the sender's data. Returns like `receive`: a route answers a request without its body."""
        if self._body_deadline:
            assert self.head
            stream = io.BytesIO(bytes(self._received))
            self.keep_alive, self.body = False, RequestBody(stream=stream, length=self.head.length)
        elif self._received:
            raise _INCOMPLETE
        return self._body_deadline is not None

    def skip_body(self) -> bool:
        """Skip what the route has not read of a body. Returns whether the next request can follow."""
        stream = self.body.stream
        return stream is None or (isinstance(stream, SizedBody | ChunkedBody) and skip(stream, DRAIN_BYTES))

    def _advance(self) -> bool:
        if self.head is None:
            if not is_complete(self._received, self._searched):
                self._searched = len(self._received)
                return False
            self.head = parse(self._received)
            self.keep_alive &= self.head.keeps_alive
            if self.head.expects_continue and self.socket.send(_CONTINUE) < len(_CONTINUE):
                raise _INCOMPLETE
            if self.head.length is None or self.head.length > SMALL_BYTES:
                self.body = RequestBody(
                    stream=self._stream(), length=self.head.length, is_terminated=True, socket=self.socket
                )
                return True
        length = self.head.length
        assert length is not None
        if len(self._received) < length:
            self._body_deadline = self._body_deadline or BodyDeadline()
            self._body_deadline.received(len(self._received))
            self.deadline = self._body_deadline.time()
            return False
        self.body = RequestBody(bytes(self._received[:length]))
        del self._received[:length]
        return True

    def _stream(self) -> BodyStream:
        assert self.head
        if self.head.length is None:
            return ChunkedBody(self._received, self.socket, self.head)
        return SizedBody(self._received, self.socket, self.head.length)
