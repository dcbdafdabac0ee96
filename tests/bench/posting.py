"""Images posted to a worker, as to the HTTP endpoint or as pushes, and the times of their responses."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

from tests.bench.parts import GIVE_UP_S, push_body

CONNECTIONS = 32
"""Limits concurrent posts; each connection waits for its response."""


Post = Callable[[str, bytes], tuple[str, bytes]]
"""A path and a body, of a request's id and its image."""


def post_image(request_id: str, image: bytes) -> tuple[str, bytes]:
    """An image for the HTTP endpoint."""
    return "/predict", image


def post_push(request_id: str, image: bytes) -> tuple[str, bytes]:
    """An image as Pub/Sub pushes it."""
    return "/", push_body(image, request_id).encode()


class Posting:
    """Posts to a server on this machine, over connections that stay open, in one thread of its own.

    The client shares the machine with the worker: it does as little as HTTP allows.
    """

    def __init__(self, port: int, connections: int = CONNECTIONS, post: Post = post_image) -> None:
        self.form = post
        self.heard: dict[str, float] = {}
        self.last = b""
        self.queue: deque[tuple[str, bytes]] = deque()
        self._missing: set[str] = set()
        self._over: Future[None] = Future()
        """Ends when nothing is missing, or fails with what went wrong."""
        self.idle: list[_Connection] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="posting", daemon=True)
        self._thread.start()
        for _ in range(connections):
            opening = self._loop.create_connection(lambda: _Connection(self), "127.0.0.1", port)
            asyncio.run_coroutine_threadsafe(opening, self._loop).result(GIVE_UP_S)

    def send(self, image: bytes) -> str:
        """Have an image posted as soon as a connection is free; gives the request's id."""
        request_id = uuid.uuid4().hex
        self.queue.append((request_id, image))
        self._loop.call_soon_threadsafe(self._pump)
        return request_id

    def wait(self, ids: set[str]) -> float:
        """The moment at which the last of these was answered. Raises TimeoutError, or what went wrong."""
        if not self._over.done():  # else it has failed
            self._loop.call_soon_threadsafe(self._expect, ids)
        self._over.result(GIVE_UP_S)
        self._over = Future()
        return max(self.heard[request_id] for request_id in ids)

    def close(self) -> None:
        """Let the connections go, when nothing is under way."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        for connection in self.idle:
            connection.transport.abort()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    def answered(self, request_id: str) -> None:
        """Note a response."""
        self.heard[request_id] = time.perf_counter()
        if request_id in self._missing:
            self._missing.remove(request_id)
            if not self._missing:
                self._over.set_result(None)

    def fail(self, failure: Exception) -> None:
        """Let `wait` raise."""
        if not self._over.done():
            self._over.set_exception(failure)

    def _expect(self, ids: set[str]) -> None:
        self._missing = ids - self.heard.keys()
        if not self._missing:
            self._over.set_result(None)

    def _pump(self) -> None:
        while self.idle and self.queue:
            self.idle.pop().post(*self.queue.popleft())


class _Connection(asyncio.Protocol):
    """One connection: posts an image, reads the response, posts the next."""

    transport: asyncio.Transport

    def __init__(self, posting: Posting) -> None:
        self._posting, self._id, self._received = posting, "", b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._posting.idle.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._id:
            self._posting.fail(exc or OSError("the server closed the connection"))

    def post(self, request_id: str, image: bytes) -> None:
        self._id, self._received = request_id, b""
        path, body = self._posting.form(request_id, image)
        head = f"POST {path} HTTP/1.1\r\nHost: worker\r\nContent-Length: {len(body)}\r\n\r\n"
        self.transport.write(head.encode() + body)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or len(body) < int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0):
            return
        if not head.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 204 ")):
            self._posting.fail(OSError(f"the server answered {self._received[:300].decode(errors='replace')}"))
            return
        self._posting.last = body
        self._posting.answered(self._id)
        self._id = ""
        if self._posting.queue:
            self.post(*self._posting.queue.popleft())
        else:
            self._posting.idle.append(self)
