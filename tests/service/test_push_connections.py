"""The twin's push requests over connections that the endpoint closes."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager

from infra.local.pubsub.http_client import HttpClient

ACK = b"HTTP/1.1 204 No Content\r\n\r\n"
LARGE = bytes(20_000_000)
"""More than the buffers of a connection hold."""


def receive(connection: socket.socket, size: int) -> None:
    """Read a request whose body has this size."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65_536)
    left = size - len(received.partition(b"\r\n\r\n")[2])
    while left:
        left -= len(connection.recv(min(left, 1 << 20)))


def reset(connection: socket.socket) -> None:
    """Close with a reset instead of an end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@contextmanager
def listening() -> Iterator[tuple[socket.socket, ThreadPoolExecutor, HttpClient]]:
    with closing(socket.create_server(("127.0.0.1", 0))) as server, ThreadPoolExecutor() as threads:
        server.settimeout(30)
        yield server, threads, HttpClient(f"http://127.0.0.1:{server.getsockname()[1]}/")


def test_a_body_is_sent_again_when_an_idle_connection_was_reset() -> None:
    with listening() as (server, threads, client):

        def answer_twice() -> int:
            first, _ = server.accept()
            receive(first, 2)
            first.sendall(ACK)
            is_idle.result(30)
            reset(first)
            is_reset.set_result(None)
            second, _ = server.accept()
            with second:
                receive(second, len(LARGE))
                second.sendall(ACK)
            return 2

        is_idle: Future[None] = Future()
        is_reset: Future[None] = Future()

        async def post_twice() -> tuple[int, int]:
            first = await client.post(b"{}", {})
            is_idle.set_result(None)
            await asyncio.wrap_future(is_reset)
            second = await client.post(LARGE, {})
            client.close()
            return first, second

        connections = threads.submit(answer_twice)
        assert asyncio.run(asyncio.wait_for(post_twice(), 60)) == (204, 204)
        assert connections.result(30) == 2
