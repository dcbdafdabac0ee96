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

from functions.errors import InvalidRequest
from functions.runtime.payload_memory import LARGE_BYTES

PIECE_BYTES, PIECE_S = 16_384, 5.0
"""This many bytes, or what is left of the body, must come in this many seconds: it ends those that send nothing."""

BODY_S, BYTES_A_SECOND = 30.0, 1_000_000
"""Seconds for the whole body, and one more for each so many bytes that have come: announced bytes earn no time."""

_LOOK_S = 0.5
_TOO_SLOW = (
    f"the body came too slowly; {PIECE_BYTES:,} bytes must come in {PIECE_S:g} s, "
    f"and the whole body in {BODY_S:g} s and 1 s more for each {BYTES_A_SECOND:,} bytes"
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
        self._piece, self._due = 0, self._began + PIECE_S

    def until(self, received: int) -> float:
        """By the monotonic clock, after so many bytes."""
        if received >= self._piece + PIECE_BYTES:
            self._piece, self._due = received, time.monotonic() + PIECE_S
        return min(self._due, self._began + BODY_S + received / BYTES_A_SECOND)

    def pause(self, seconds: float) -> None:
        """Leave out time in which nothing was read."""
        self._began, self._due = self._began + seconds, self._due + seconds


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


def read_body(given: RequestBody, limit: int, hold: Callable[[int], object]) -> bytes:
    """The whole body. Raises BodyTooLarge beyond `limit` bytes, InvalidRequest when it cannot be had.

    `hold` is called with the bytes of a large body, once that many have come that it is one: it takes the memory, and
    may wait. A sender that sends little holds none.
    """
    size = given.length
    if size is not None and size > limit:
        raise BodyTooLarge(limit)
    if size is None and not given.is_terminated:
        return b""
    body, pace, came, held = io.BytesIO(), Pace(), 0, False  # a bytearray would have to be copied at the end
    while size is None or came < size:
        wanted = PIECE_BYTES if size is None else min(PIECE_BYTES, size - came)
        piece = _read(given, wanted, came, pace.until(came))
        if not piece and size is not None:
            raise InvalidRequest(f"the body broke off after {came:,} of {size:,} bytes")
        if not piece:
            break
        came += body.write(piece)
        if came > limit:
            raise BodyTooLarge(limit)
        if came >= LARGE_BYTES and not held:
            began, held = time.monotonic(), True
            hold(limit if size is None else size)
            pace.pause(time.monotonic() - began)
    return body.getvalue()


def _read(given: RequestBody, size: int, had: int, due: float) -> bytes:
    """The next bytes of a body of which `had` have come."""
    caller = given.socket
    failure, piece = None, b""
    if caller:
        _watchdog.expect(caller, due)
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
        self._due: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def expect(self, caller: socket.socket, due: float) -> None:
        with self._lock:
            self._due[caller] = min(due, self.latest)
            if not self._thread:
                self._thread = threading.Thread(target=self._run, name="slow-callers", daemon=True)
                self._thread.start()

    def forget(self, caller: socket.socket) -> bool:
        """Whether it was in time."""
        with self._lock:
            return self._due.pop(caller, None) is not None

    def _run(self) -> None:
        while True:
            time.sleep(_LOOK_S)
            with self._lock:
                for caller in [each for each, due in self._due.items() if due < time.monotonic()]:
                    del self._due[caller]
                    with suppress(OSError):  # who hung up meanwhile is cut off already
                        caller.shutdown(socket.SHUT_RD)


_watchdog = _Watchdog()
