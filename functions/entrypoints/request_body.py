"""Reads the body of a request: never more than is allowed, and never for longer than its deadline.

The server has a thread for each request and waits as long as its sender likes, also when it is told to stop. Limits of
what comes before a body: request_head.py and gunicorn_worker.py, or the front end of Cloud Run functions.
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
"""This many bytes, or what is left of the body, must come in this many seconds: it ends those that send nothing."""

BODY_S, BYTES_A_SECOND = 30.0, 1_000_000
"""Seconds for the whole body, and one more for each so many bytes that have come: announced bytes earn no time."""

HELD_S = 3.0
"""Seconds in place of BODY_S for a body that holds memory which others wait for, from when it took it."""

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
    """Until when the next bytes of one body must come."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._received, self._piece, self._piece_due = 0, 0, self._began + PIECE_S
        self._held_due = math.inf
        self._is_wanted: Callable[[], bool] = lambda: False

    def until(self) -> float:
        """By the monotonic clock. Others may ask while the body is read."""
        due = min(self._piece_due, self._began + BODY_S + self._received / BYTES_A_SECOND)
        return min(due, self._held_due + self._received / BYTES_A_SECOND) if self._is_wanted() else due

    def came(self, received: int) -> None:
        """So many bytes have come by now."""
        self._received = received
        if received >= self._piece + PIECE_BYTES:
            self._piece, self._piece_due = received, time.monotonic() + PIECE_S

    def reserve(self, reserve: Reserve, size: int) -> None:
        """Take memory for the body; the time until it is there does not count."""
        asked = time.monotonic()
        is_wanted = reserve(size)
        now = time.monotonic()
        self._began, self._piece_due = self._began + now - asked, self._piece_due + now - asked
        self._held_due, self._is_wanted = now + HELD_S - self._received / BYTES_A_SECOND, is_wanted


class SlowBody:
    """Stands for a body that did not come in time."""

    failed = True
    """For gunicorn: where the next request would begin is not known."""

    def read(self, size: int = -1) -> bytes:
        """Raise InvalidRequest."""
        raise InvalidRequest(_TOO_SLOW)


def ignore_body() -> None:
    """Have the framework leave the body of the current request, which it would read to its end after the response."""
    flask.request.stream = io.BytesIO()


def hurry() -> None:
    """The process stops: from now on a body has PIECE_S seconds left."""
    _watchdog.latest = time.monotonic() + PIECE_S


def read_body(given: RequestBody, limit: int, reserve: Reserve) -> bytes:
    """The whole body. Raises BodyTooLarge beyond `limit` bytes, InvalidRequest when it cannot be had.

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
    """The next bytes of a body of which `had` have come."""
    caller = given.socket
    failure, piece = None, b""
    if caller:
        _watchdog.expect(caller, pace)
    try:
        piece = given.stream.read(size)
    except (MemoryError, InvalidRequest):
        raise
    except Exception as exc:  # whatever a server raises here, its sender has sent malformed chunks, or is gone
        failure = exc
    finally:
        in_time = not caller or _watchdog.forget(caller)
    if not in_time:
        raise InvalidRequest(_TOO_SLOW) from failure
    if failure:
        raise InvalidRequest(f"the body broke off, or its chunks are malformed, after {had:,} bytes") from failure
    return piece


class _Watchdog:
    """Ends the reading of sockets that are too slow; its thread begins with the first of them, never at import."""

    def __init__(self) -> None:
        self.latest = math.inf
        """No socket is read for longer, by the monotonic clock."""
        self._read: dict[socket.socket, Pace] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def expect(self, caller: socket.socket, pace: Pace) -> None:
        with self._lock:
            self._read[caller] = pace
            if not self._thread:
                self._thread = bootstrap.supervisor().start("slow-senders", self._run)

    def forget(self, caller: socket.socket) -> bool:
        """Whether it was in time."""
        with self._lock:
            return self._read.pop(caller, None) is not None

    def _run(self) -> None:
        while True:
            time.sleep(_LOOK_S)
            with self._lock:
                now = time.monotonic()
                for caller in [each for each, pace in self._read.items() if min(pace.until(), self.latest) < now]:
                    del self._read[caller]
                    with suppress(OSError):  # who hung up meanwhile is cut off already
                        caller.shutdown(socket.SHUT_RD)


_watchdog = _Watchdog()
