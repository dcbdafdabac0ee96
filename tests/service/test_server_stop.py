"""The Pub/Sub server leaves no connection open when it stops, however many clients connect at that moment."""

from __future__ import annotations

import contextlib
import gc
import socket
import sys
import threading
import time

import pytest

from infra.local.pubsub.server import PubsubServer

pytestmark = pytest.mark.slow

ROUNDS = 15
"""Stops: one in four left connections open before this was fixed."""


@pytest.mark.filterwarnings("error")
def test_connections_are_closed_that_arrive_while_it_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    complaints: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda seen: complaints.append(seen.exc_value))
    for _ in range(ROUNDS):
        server = PubsubServer()
        server.start()
        host, port = server.host.rsplit(":", 1)
        held: list[socket.socket] = []
        done = threading.Event()
        connecting = [threading.Thread(target=_connect, args=(host, int(port), held, done)) for _ in range(2)]
        for thread in connecting:
            thread.start()
        time.sleep(0.02)
        server.stop()
        done.set()
        for thread in connecting:
            thread.join()
        for connection in held:
            connection.close()
        del server
        gc.collect()
    assert complaints == []


def _connect(host: str, port: int, held: list[socket.socket], done: threading.Event) -> None:
    while not done.is_set():
        with contextlib.suppress(OSError):
            held.append(socket.create_connection((host, port), 1))
            if len(held) % 2:
                held[-1].sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
