"""Reading the body of a request: never more than is allowed, never from somebody who drips it.

The framework's server has a thread for each request and waits as long as a caller likes, also when it is told to stop.
Headers are read before we are called: slow ones are for whatever stands in front of the worker.
"""

from __future__ import annotations

import io
import socket
import threading
import time
from contextlib import suppress

import flask
from werkzeug.exceptions import RequestEntityTooLarge

from functions.errors import InvalidRequest

PIECE_BYTES, PIECE_S = 16_384, 5.0
"""So much must come in that time, or what is left of the body."""

_LOOK_S = 0.5


def read_body(request: flask.Request, limit: int) -> bytes:
    """The whole body. Raises RequestEntityTooLarge beyond `limit` bytes, InvalidRequest when it drips or breaks off.

    What is not read is left: the framework would read every body to its end afterwards.
    """
    request.stream = io.BytesIO()
    size, given = request.content_length, request.environ["wsgi.input"]
    if size is not None and size > limit:
        raise RequestEntityTooLarge
    if size is None and not request.environ.get("wsgi.input_terminated"):
        return b""
    body = bytearray()
    while size is None or len(body) < size:
        piece = _patiently(given, PIECE_BYTES if size is None else min(PIECE_BYTES, size - len(body)), request)
        if not piece and size is not None:
            raise InvalidRequest(f"the body broke off after {len(body):,} of {size:,} bytes")
        if not piece:
            break
        body += piece
        if len(body) > limit:
            raise RequestEntityTooLarge
    return bytes(body)


def _patiently(given: io.BufferedIOBase, size: int, request: flask.Request) -> bytes:
    caller = request.environ.get("gunicorn.socket")
    if caller is None:
        return given.read(size)
    _watchdog.expect(caller)
    try:
        piece = given.read(size)
    finally:
        in_time = _watchdog.forget(caller)
    if not in_time:
        raise InvalidRequest(f"the body came too slowly; {PIECE_BYTES:,} bytes must come in {PIECE_S:g} s")
    return piece


class _Watchdog:
    """Ends the reading of sockets that are too slow; its thread begins with the first of them, never at import."""

    def __init__(self) -> None:
        self._due: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def expect(self, caller: socket.socket) -> None:
        with self._lock:
            self._due[caller] = time.monotonic() + PIECE_S
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
