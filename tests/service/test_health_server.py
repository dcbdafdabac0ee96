"""GET /health of the pull worker is answered whatever other connections do, and the server stops at once."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from functions.entrypoints.health_server import serve_health
from functions.settings import SettingsError
from infra.local.ports import free_port

SAID: dict[str, Any] = {"status": "ok"}


@pytest.fixture
def well() -> threading.Event:
    """Set while all is well."""
    return threading.Event()


@pytest.fixture
def port(well: threading.Event) -> Iterator[int]:
    port = free_port()
    with serve_health(f"127.0.0.1:{port}", lambda: (well.is_set(), SAID)):
        yield port


def sent(port: int, request: bytes) -> bytes:
    said = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as caller:
        caller.sendall(request)
        while piece := caller.recv(65_536):
            said += piece
    return said


def health(port: int) -> bytes:
    return sent(port, b"GET /health HTTP/1.1\r\nHost: w\r\n\r\n")


def test_health_reports_the_state_of_the_worker(port: int, well: threading.Event) -> None:
    assert health(port).startswith(b"HTTP/1.0 503 ") and health(port).endswith(b'\r\n\r\n{"status": "ok"}')
    well.set()
    assert health(port).startswith(b"HTTP/1.0 200 ")


@pytest.mark.parametrize(
    "request_line", [b"GET / HTTP/1.1", b"POST /health HTTP/1.1", b"GET /healthy HTTP/1.1", b"GET /health", b"\xff"]
)
def test_other_paths_of_the_health_server_are_not_found(port: int, request_line: bytes) -> None:
    assert sent(port, request_line + b"\r\n\r\n").startswith(b"HTTP/1.0 404 ")


def test_an_endless_head_is_refused(port: int) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):  # cut off while it was sending
        assert sent(port, b"GET /health HTTP/1.1\r\n" + b"a" * 10_000_000) == b""


@pytest.mark.slow
@pytest.mark.timing
def test_hundreds_of_silent_connections_do_not_matter(port: int) -> None:
    with ExitStack() as callers:
        for number in range(600):
            caller = callers.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            caller.sendall(b"GET /health" if number % 2 else b"\r")
        began, threads = time.monotonic(), threading.active_count()
        assert health(port).startswith(b"HTTP/1.0 503 ")
        assert time.monotonic() - began < 1 and threads < 20
        assert caller.recv(1) == b"", "closed after 5 s, however much is still to come"
        assert time.monotonic() - began < 9


def test_a_health_address_in_use_is_an_error(port: int) -> None:
    with pytest.raises(SettingsError, match="the worker cannot listen there"), serve_health(f"127.0.0.1:{port}", dict):  # type: ignore[arg-type]
        pass
