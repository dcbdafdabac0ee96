"""Callers who send too much or too slowly, to the very server of the cloud: others are answered, and it still stops."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from infra.local.child import Child
from infra.local.ports import free_port
from tests.emulator.test_push_shutdown import GRACE_S, end, push_worker
from tests.samples import encoded

THREADS = 4
HUNDRED_MB = 100_000_000
_PIECE = b"10000\r\n" + bytes(65_536) + b"\r\n"


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[tuple[Child, int]]:
    port = free_port()
    with push_worker(
        {"GOOGLE_CLOUD_PROJECT": "p", "HTTP_DOOR": "on", "THREADS": str(THREADS)}, tmp_path / "log", port
    ) as started:
        yield started, port


def connect(port: int, head: str) -> socket.socket:
    caller = socket.create_connection(("127.0.0.1", port), timeout=20)
    caller.sendall(f"{head}\r\nHost: worker\r\n".encode())
    return caller


def status(caller: socket.socket) -> int:
    return int(caller.recv(200).split()[1])


def predict(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("POST", "/predict", encoded())
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["/predict", "/"])
def test_a_body_of_100_mb_is_refused_early(worker: tuple[Child, int], path: str) -> None:
    _, port = worker
    with connect(port, f"POST {path} HTTP/1.1") as caller:
        caller.sendall(f"Content-Length: {HUNDRED_MB}\r\n\r\n".encode() + bytes(65_536))
        assert status(caller) == 413
    with connect(port, f"POST {path} HTTP/1.1") as caller:
        caller.sendall(b"Transfer-Encoding: chunked\r\n\r\n")
        sent = 0
        try:
            while sent < HUNDRED_MB:
                caller.sendall(_PIECE)
                sent += len(_PIECE)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused while it was sending, as it should be
        assert sent < 40_000_000
        assert status(caller) == 413
    assert predict(port) == 200


def test_those_who_drip_are_cut_off_and_others_are_answered(worker: tuple[Child, int]) -> None:
    child, port = worker
    with ExitStack() as callers:
        dripping = [callers.enter_context(connect(port, "POST /predict HTTP/1.1")) for _ in range(THREADS)]
        for caller in dripping:
            caller.sendall(b"Content-Length: 1000\r\n\r\nab")
        began = time.monotonic()
        assert predict(port) == 200
        assert time.monotonic() - began < 15, "five seconds, and time to spare"
        assert status(dripping[0]) == 400
        for _ in range(THREADS):
            caller = callers.enter_context(connect(port, "POST / HTTP/1.1"))
            caller.sendall(b"Content-Length: 1000\r\n\r\nab")
        assert end(child) < GRACE_S, "it stops although somebody still drips"
