"""Reads the body of a request within limits of size and time.

The server has a thread for each request and no deadline of its own, not even when it stops. Limits of the head:
request_head.py and gunicorn_worker.py, or the front end of Cloud Run functions.
"""

from __future__ import annotations

import io
import math
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import flask

from functions import bootstrap
from functions.errors import InvalidRequest
from functions.runtime.payload_memory import LARGE_BYTES, Reserve

PIECE_BYTES, PIECE_S = 16_384, 5.0
"""This many bytes, or the rest of the body, must arrive in this many seconds."""

BODY_S, BYTES_A_SECOND = 30.0, 1_000_000
"""Seconds for the whole body, plus one for each BYTES_A_SECOND received; announced bytes do not count."""

HELD_S = 3.0
"""Seconds instead of BODY_S, from the reservation on, for a body whose memory other requests wait for."""

_LOOK_S = 0.5
_TOO_SLOW = (
    f"the body came too slowly; {PIECE_BYTES:,} bytes must come in {PIECE_S:g} s, "
    f"and the whole body in {BODY_S:g} s and 1 s more for each {BYTES_A_SECOND:,} bytes; "
    f"while others wait for the memory of a large body, it must come in {HELD_S:g} s and 1 s more for each as many"
)


class BodyTooLarge(Exception):
    """The body has more bytes than are allowed."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the body is too large; at most {limit:,} bytes are allowed")


@dataclass(frozen=True, slots=True)
class RequestBody:
    """A body to be read. `length`: its bytes, None when they are not known; then `is_terminated` says whether the
    stream ends by itself. `socket`: the sender's, where the server gives it; a slow sender is cut off there.
    """

    stream: io.BufferedIOBase
    length: int | None
    is_terminated: bool = False
    socket: socket.socket | None = None


class Pace:
    """The deadline for the next bytes of one body."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._received, self._piece, self._piece_due = 0, 0, self._began + PIECE_S
        self._held_due = math.inf
        self._is_wanted: Callable[[], bool] = lambda: False

    def until(self) -> float:
        """The deadline by the monotonic clock. Callable from any thread while the body is read."""
        due = min(self._piece_due, self._began + BODY_S + self._received / BYTES_A_SECOND)
        return min(due, self._held_due + self._received / BYTES_A_SECOND) if self._is_wanted() else due

    def came(self, received: int) -> None:
        """Record the number of bytes received so far."""
        self._received = received
        if received >= self._piece + PIECE_BYTES:
            self._piece, self._piece_due = received, time.monotonic() + PIECE_S

    def reserve(self, reserve: Reserve, size: int) -> None:
        """Reserve memory for the body; the time of waiting for it does not count."""
        asked = time.monotonic()
        is_wanted = reserve(size)
        now = time.monotonic()
        self._began, self._piece_due = self._began + now - asked, self._piece_due + now - asked
        self._held_due, self._is_wanted = now + HELD_S - self._received / BYTES_A_SECOND, is_wanted


class SlowBody:
    """The body of a request whose sender was too slow."""

    failed = True
    """Tells gunicorn that the start of the next request is unknown."""

    def read(self, size: int = -1) -> bytes:
        """Raise InvalidRequest."""
        raise InvalidRequest(_TOO_SLOW)


def ignore_body() -> None:
    """Keep the framework from reading the rest of the body after the response."""
    flask.request.stream = io.BytesIO()


def hurry() -> None:
    """Give every body PIECE_S seconds from now on: the process stops."""
    _watchdog.latest = time.monotonic() + PIECE_S


def read_body(given: RequestBody, limit: int, reserve: Reserve) -> bytes:
    """The whole body. Raises BodyTooLarge above `limit` bytes, InvalidRequest when the sender is too slow or fails.

    `reserve` is called with the size of a large body once LARGE_BYTES have come: a sender that sends little holds no
    memory.
    """
    size = given.length
    if size is not None and size > limit:
        raise BodyTooLarge(limit)
    if size is None and not given.is_terminated:
        return b""
    body, pace, came, held = io.BytesIO(), Pace(), 0, False  # a bytearray would have to be copied at the end
    while size is None or came < size:
        wanted = PIECE_BYTES if size is None else min(PIECE_BYTES, size - came)
        piece = _read(given, wanted, came, pace)
        if not piece and size is not None:
            raise InvalidRequest(f"the body broke off after {came:,} of {size:,} bytes")
        if not piece:
            break
        came += body.write(piece)
        pace.came(came)
        if came > limit:
            raise BodyTooLarge(limit)
        if came >= LARGE_BYTES and not held:
            held = True
            pace.reserve(reserve, limit if size is None else size)
    return body.getvalue()


def _read(given: RequestBody, size: int, had: int, pace: Pace) -> bytes:
    """The next bytes of a body of which `had` were received."""
    caller = given.socket
    failure, piece = None, b""
    if caller:
        _watchdog.expect(caller, pace)
    try:
        piece = given.stream.read(size)
    except (MemoryError, InvalidRequest):
        raise
    except Exception as exc:  # servers raise several kinds: the sender sent malformed chunks, or closed the connection
        failure = exc
    finally:
        in_time = not caller or _watchdog.forget(caller)
    if not in_time:
        raise InvalidRequest(_TOO_SLOW) from failure
    if failure:
        raise InvalidRequest(f"the body broke off, or its chunks are malformed, after {had:,} bytes") from failure
    return piece


class _Watchdog:
    """Shuts down sockets whose senders are too slow. Its thread starts with the first socket, never at import."""

    def __init__(self) -> None:
        self.latest = math.inf
        """The deadline of all sockets, by the monotonic clock."""
        self._read: dict[socket.socket, Pace] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def expect(self, caller: socket.socket, pace: Pace) -> None:
        with self._lock:
            self._read[caller] = pace
            if not self._thread:
                self._thread = bootstrap.supervisor().start("slow-senders", self._run)

    def forget(self, caller: socket.socket) -> bool:
        """Stop watching a socket. Returns whether it was in time."""
        with self._lock:
            return self._read.pop(caller, None) is not None

    def _run(self) -> None:
        while True:
            time.sleep(_LOOK_S)
            with self._lock:
                now = time.monotonic()
                for caller in [each for each, pace in self._read.items() if min(pace.until(), self.latest) < now]:
                    del self._read[caller]
                    with suppress(OSError):  # the sender may have closed it
                        caller.shutdown(socket.SHUT_RD)


_watchdog = _Watchdog()
