"""Reads the body of a request within limits on its size and its duration.

A slow sender could block a thread forever, also while the server stops. request_head.py and connections.py, or the
front end of Cloud Run functions, limit the request before its body.
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
from typing import Protocol

from functions import bootstrap
from functions.errors import InvalidRequest
from functions.runtime.payload_memory import LARGE_BYTES, Reserve

PIECE_BYTES, PIECE_S = 16_384, 5.0
"""The next PIECE_BYTES of a body, or the rest of it, must arrive within PIECE_S seconds. It ends idle connections."""

BODY_S, BYTES_A_SECOND = 30.0, 1_000_000
"""The whole body must arrive within BODY_S seconds, plus one second for each BYTES_A_SECOND that have arrived. Bytes
that are only announced add no time.
"""

CONTENDED_S = 3.0
"""Replaces BODY_S while other bodies wait for the memory that this body reserves; seconds from the reservation."""

_CHECK_INTERVAL_S = 0.5
_TOO_SLOW = (
    f"the body arrived too slowly; each {PIECE_BYTES:,} bytes must arrive in {PIECE_S:g} s, "
    f"and the whole body in {BODY_S:g} s and 1 s more for each {BYTES_A_SECOND:,} bytes; "
    f"while other requests wait for memory, a large body must arrive in {CONTENDED_S:g} s and 1 s more for each "
    f"{BYTES_A_SECOND:,} bytes"
)


class BodyTooLarge(Exception):
    """The body exceeds the limit on its size."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the body is too large; at most {limit:,} bytes are allowed")


class Readable(Protocol):
    """A stream of bytes."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes; none at the end."""
        ...


@dataclass(frozen=True, slots=True)
class RequestBody:
    """A body: `data`, if the server has received it, and otherwise a `stream` that is not read yet.

    `length` is the size of a stream in bytes, or None when it is unknown; then `is_terminated` states whether the
    stream has an end of its own. `socket` is the socket of the connection, if the server provides it: it is shut down
    at the deadline.
    """

    data: bytes = b""
    stream: Readable | None = None
    length: int | None = None
    is_terminated: bool = False
    socket: socket.socket | None = None


class BodyDeadline:
    """The time at which the next bytes of a body must have arrived. It moves with each received piece."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._received, self._piece, self._piece_due = 0, 0, self._began + PIECE_S
        self._contended_due = math.inf
        self._is_contended: Callable[[], bool] = lambda: False

    def time(self) -> float:
        """The deadline by the monotonic clock. Callable from any thread."""
        due = min(self._piece_due, self._began + BODY_S + self._received / BYTES_A_SECOND)
        return min(due, self._contended_due + self._received / BYTES_A_SECOND) if self._is_contended() else due

    def received(self, received: int) -> None:
        """Note the number of bytes that have arrived so far."""
        self._received = received
        if received >= self._piece + PIECE_BYTES:
            self._piece, self._piece_due = received, time.monotonic() + PIECE_S

    def reserve(self, reserve: Reserve, size: int) -> None:
        """Reserve memory for the body. The wait for it extends the deadline."""
        wait_began = time.monotonic()
        is_contended = reserve(size)
        now = time.monotonic()
        self._began, self._piece_due = self._began + now - wait_began, self._piece_due + now - wait_began
        self._contended_due, self._is_contended = now + CONTENDED_S - self._received / BYTES_A_SECOND, is_contended


class TimedOutBody:
    """Replaces a body that missed its deadline."""

    def read(self, size: int = -1, /) -> bytes:
        """Raise InvalidRequest."""
        raise InvalidRequest(_TOO_SLOW)


def shorten_deadlines() -> None:
    """Give all bodies at most PIECE_S more seconds, because the process stops."""
    _watchdog.process_deadline = time.monotonic() + PIECE_S


def reserve_nothing(size: int) -> Callable[[], bool]:
    """Reserve nothing, for a body that is in memory already."""
    return lambda: False


def read_body(given: RequestBody, limit: int, reserve: Reserve = reserve_nothing) -> bytes:
    """Return the whole body. Raises BodyTooLarge above `limit` bytes, and InvalidRequest for an incomplete body.

    `reserve` is called with the size of a large body after LARGE_BYTES have arrived, so that a sender that announces
    much and sends little reserves no memory.
    """
    size = given.length if given.stream else len(given.data)
    if size is not None and size > limit:
        raise BodyTooLarge(limit)
    if not given.stream:
        return given.data
    if size is None and not given.is_terminated:
        return b""
    body = io.BytesIO()  # a bytearray would need a copy at the end
    deadline, received, is_reserved = BodyDeadline(), 0, False
    while size is None or received < size:
        wanted = PIECE_BYTES if size is None else min(PIECE_BYTES, size - received)
        piece = _read(given, wanted, received, deadline)
        if not piece and size is not None:
            raise InvalidRequest(f"the body ended after {received:,} of {size:,} bytes")
        if not piece:
            break
        received += body.write(piece)
        deadline.received(received)
        if received > limit:
            raise BodyTooLarge(limit)
        if received >= LARGE_BYTES and not is_reserved:
            is_reserved = True
            deadline.reserve(reserve, limit if size is None else size)
    return body.getvalue()


def _read(given: RequestBody, size: int, received: int, deadline: BodyDeadline) -> bytes:
    """Return up to `size` more bytes of a body of which `received` bytes have arrived."""
    sock, stream = given.socket, given.stream
    assert stream
    failure, piece = None, b""
    if sock:
        _watchdog.watch(sock, deadline)
    try:
        piece = stream.read(size)
    except (MemoryError, InvalidRequest):
        raise
    except Exception as exc:  # each server raises its own kinds for malformed chunks and for a closed connection
        failure = exc
    finally:
        in_time = not sock or _watchdog.unwatch(sock)
    if not in_time:
        raise InvalidRequest(_TOO_SLOW) from failure
    if failure:
        raise InvalidRequest(
            f"the body ended early, or its chunks are malformed, after {received:,} bytes"
        ) from failure
    return piece


class _SocketWatchdog:
    """Shuts down sockets whose body missed its deadline. Its thread starts with the first socket, not at import."""

    def __init__(self) -> None:
        self.process_deadline = math.inf
        """The time by the monotonic clock at which all reading ends, set when the process stops."""
        self._watched: dict[socket.socket, BodyDeadline] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def watch(self, sock: socket.socket, deadline: BodyDeadline) -> None:
        with self._lock:
            self._watched[sock] = deadline
            if not self._thread:
                self._thread = bootstrap.supervisor().start("slow-senders", self._run)

    def unwatch(self, sock: socket.socket) -> bool:
        """Stop watching a socket. Returns whether its body met the deadline."""
        with self._lock:
            return self._watched.pop(sock, None) is not None

    def _run(self) -> None:
        while True:
            time.sleep(_CHECK_INTERVAL_S)
            with self._lock:
                now = time.monotonic()
                for sock in self._late(now):
                    del self._watched[sock]
                    with suppress(OSError):  # the sender may have closed the connection meanwhile
                        sock.shutdown(socket.SHUT_RD)

    def _late(self, now: float) -> list[socket.socket]:
        return [sock for sock, deadline in self._watched.items() if min(deadline.time(), self.process_deadline) < now]


_watchdog = _SocketWatchdog()
