"""The state of a connection: the bytes received, the deadline for more, and the rest of its response.

Heads and small bodies are collected, and responses sent, without a thread. The worker class in gunicorn_worker.py owns
the sockets; nothing here blocks. Limits of heads: request_head.py. Limits of bodies: request_body.py.
"""

from __future__ import annotations

import io
import socket
import time
from contextlib import suppress
from typing import Any

from gunicorn.http.body import LengthReader
from gunicorn.http.parser import RequestParser

from functions.entrypoints.request_body import Pace, SlowBody
from functions.entrypoints.request_head import Refused, check, is_whole

HEAD_S = 10.0
"""Seconds from the first byte of a head to its end, and from a new connection to its first byte."""

SMALL_BYTES = 131_072
"""Most bytes of a body that is collected before a thread is used: references, notifications and small images fit. 900
connections (gunicorn_worker.py) hold at most 120 MB of them.
"""

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_SLOW = Refused(408, f"the head of the request came too slowly; it must be whole in {HEAD_S:g} s")
_BROKEN = Refused(400, "the head of the request broke off")


class Output:
    """Stands in for the socket of a request: gunicorn writes the response to it, and it keeps the bytes."""

    def __init__(self, sock: socket.socket) -> None:
        self.shutdown = sock.shutdown
        """request_body.py calls it to stop reading a slow body."""
        self.kept = bytearray()

    def sendall(self, data: bytes) -> None:
        """Keep the next bytes of the response."""
        self.kept += data


class Connection:
    """One connection, its current request, and the response to it."""

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any) -> None:
        self.socket, self.client, self.server = sock, client, server
        self.sock = Output(sock)
        """gunicorn expects this name."""
        self.parser = RequestParser(cfg, sock, client)
        self.request: Any = None
        self.keeps = True
        """Whether the connection stays open for another request."""
        self.until = 0.0
        """The deadline of the connection, by the monotonic clock."""
        self.linger_bytes = 0
        """Bytes that are still read and ignored; above 0 once this side has closed the connection."""
        self._came = bytearray()
        """The received bytes of the head, and then of a small body."""
        self._pace: Pace | None = None

    @property
    def is_streamed(self) -> bool:
        """Whether a thread has to wait for the body of the request."""
        return not isinstance(self.request.body, io.BytesIO | SlowBody)

    @property
    def output(self) -> bytearray:
        """The rest of the response."""
        return self.sock.kept

    def send(self) -> None:
        """Send as much of the response as the socket accepts now."""
        with suppress(BlockingIOError):
            while self.output:
                del self.output[: self.socket.send(self.output)]

    def next_request(self, idle_s: float) -> bool:
        """Prepare for the next request. Returns whether it was received already."""
        self.request, self._pace = None, None
        self._came.clear()
        self.until = time.monotonic() + idle_s
        behind = self.parser.unreader.take_buffered()
        return bool(behind) and self.receive(behind)

    def receive(self, data: bytes) -> bool:
        """Process received bytes. Returns whether the request is ready for a thread. Raises Refused, parser errors."""
        if self.request is None:
            if not self._came:
                self.until = max(self.until, time.monotonic() + HEAD_S)
            self._came += data
            if not is_whole(self._came, len(self._came) - len(data)):
                return False
            self._parse()
            if self._pace is None:
                return True
        else:
            self._came += data
        return self._collect()

    def expire(self) -> bool:
        """Process the deadline. Like `receive`: a thread answers a request without its whole body."""
        if self._pace:
            self.request.force_close()
            self.request.body = SlowBody()
        elif self._came:
            raise _SLOW
        return self._pace is not None

    def end(self) -> bool:
        """Process the end of the sender's bytes. Like `receive`: a thread answers a request without its whole body."""
        if self._pace:
            self.request.force_close()
            self.request.body = io.BytesIO(self._came)
        elif self._came:
            raise _BROKEN
        return self._pace is not None

    def _parse(self) -> None:
        self.parser.unreader.unread(bytes(self._came))
        self._came.clear()
        self.request = next(self.parser)
        check(self.request)
        self.request.path = self.request.path or "/"  # of an absolute target (RFC 9110, 4.2.3)
        if self.request._expected_100_continue:
            self.request._expected_100_continue = False  # gunicorn would wait for the socket
            if self.socket.send(_CONTINUE) < len(_CONTINUE):
                raise _BROKEN
        length = (
            self.request.body.reader.length if isinstance(self.request.body.reader, LengthReader) else SMALL_BYTES + 1
        )
        if length == 0:
            self.request.body = io.BytesIO()
        elif length <= SMALL_BYTES:
            self._pace = Pace()
            self._came += self.parser.unreader.take_buffered()

    def _collect(self) -> bool:
        assert self._pace
        length = self.request.body.reader.length
        self._pace.came(len(self._came))
        self.until = self._pace.until()
        if len(self._came) < length:
            return False
        self.request.body = io.BytesIO(self._came[:length])
        self.parser.unreader.unread(bytes(self._came[length:]))
        self._came.clear()
        return True
