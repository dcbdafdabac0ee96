"""The clients of the benchmark: pushes that are posted so many at a time, and a broker that answers later."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.bench.delay import DelayingProxy
from tests.bench.posting import Posting, post_push

DELAY_S = 0.2


class Pushed(BaseHTTPRequestHandler):
    """Acks pushes when `together` of them wait at the same time, and keeps their messages, paths and clients' ports."""

    protocol_version = "HTTP/1.1"
    together: threading.Barrier
    messages: list[dict[str, str]]
    asked: set[tuple[str, int]]

    def do_POST(self) -> None:
        self.messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["message"])
        self.asked.add((self.path, self.client_address[1]))
        self.together.wait(20)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    Pushed.together, Pushed.messages, Pushed.asked = threading.Barrier(3), [], set()
    with ThreadingHTTPServer(("127.0.0.1", 0), Pushed) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_as_many_pushes_as_asked_are_under_way(port: int) -> None:
    images = [f"image {number}".encode() for number in range(6)]
    line = Posting(port, 3, post_push)
    try:
        ids = [line.send(image) for image in images]
        line.wait(set(ids))  # two threads at a time would wait for a third
    finally:
        line.close()
    images_by_id = {message["messageId"]: base64.b64decode(message["data"]) for message in Pushed.messages}
    assert [images_by_id[each] for each in ids] == images
    assert [path for path, _ in Pushed.asked] == ["/", "/", "/"], "one connection for each of three"


def test_answers_come_later_and_in_order() -> None:
    said = bytes(range(256)) * 4000
    with socket.create_server(("127.0.0.1", 0)) as target:

        def echo() -> None:
            with target.accept()[0] as far:
                while data := far.recv(65_536):
                    far.sendall(data)

        thread = threading.Thread(target=echo)
        thread.start()
        with DelayingProxy(f"127.0.0.1:{target.getsockname()[1]}") as proxy:
            proxy.delay_s = DELAY_S
            host, _, at = proxy.host.partition(":")
            with socket.create_connection((host, int(at)), timeout=20) as near:
                start = time.monotonic()
                near.sendall(said)
                near.shutdown(socket.SHUT_WR)
                heard = near.recv(1)
                waited = time.monotonic() - start
                while data := near.recv(65_536):
                    heard += data
        thread.join(20)
    assert heard == said
    assert waited >= DELAY_S
