"""GET /health of the push worker is answered within a second while every thread is blocked or busy."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.local.ports import free_port
from infra.local.pubsub.token import Tokens
from infra.local.twin import Twin
from tests.samples import encoded
from tests.service.hung_storage import stalled
from tests.service.test_push_shutdown import push_worker
from tests.service.test_slow_callers import health_s

THREADS = 3
ENV = {"GOOGLE_CLOUD_PROJECT": "p", "HTTP_ENDPOINT": "on", "THREADS": str(THREADS)}


def post(port: int, path: str, body: bytes, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", path, body, headers)
        return connection.getresponse().status
    finally:
        connection.close()


def pushed(data: bytes, request_id: str) -> bytes:
    message = {"data": base64.b64encode(data).decode(), "messageId": request_id, "attributes": {}}
    return json.dumps({"message": message}).encode()


@contextmanager
def under_way(port: int, requests: list[tuple[str, bytes]], **headers: str) -> Iterator[list[Future[int]]]:
    """Requests in threads of their own; at the end all are answered."""
    with ThreadPoolExecutor(len(requests)) as senders:
        yield [senders.submit(post, port, path, body, headers) for path, body in requests]


def worst_health_s(port: int, replies: list[Future[int]], at_least_s: float) -> float:
    """The slowest GET /health until all requests are answered."""
    began, worst = time.monotonic(), 0.0
    while not all(reply.done() for reply in replies):
        worst = max(worst, health_s(port))
        time.sleep(0.05)
    assert time.monotonic() - began > at_least_s, "there was nothing to wait for"
    return worst


@pytest.mark.slow
@pytest.mark.timing
def test_health_answers_while_storage_hangs(tmp_path: Path) -> None:
    port = free_port()
    references = [
        ("/", pushed(json.dumps({"image_uri": f"gs://payloads/{number}"}).encode(), f"r{number}"))
        for number in range(9)
    ]
    with (
        Twin(worker=None) as twin,
        push_worker({**twin.env, **ENV, "GOOGLE_CLOUD_PROJECT": twin.project}, tmp_path / "log", port),
        stalled(twin.storage) as asked,
        under_way(port, references) as replies,
    ):
        assert asked.wait(30)
        assert post(port, "/", pushed(encoded(), "small"), {}) == 204, "a small image needs no thread"
        assert not any(reply.done() for reply in replies)
        assert worst_health_s(port, replies, 2) < 1
        assert {reply.result() for reply in replies} == {503}


@pytest.mark.timing
def test_health_answers_while_the_signing_key_server_hangs(tmp_path: Path) -> None:
    port, account = free_port(), "pusher@example.com"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = {
            "PUSH_AUDIENCE": "worker",
            "PUSH_SERVICE_ACCOUNT": account,
            "OIDC_JWKS_URL": f"http://127.0.0.1:{silent.getsockname()[1]}/certs",
        }
        token = f"Bearer {Tokens().bearer(account, 'worker')}"
        pushes = [("/", pushed(encoded(), f"r{number}")) for number in range(9)]
        with (
            push_worker({**ENV, **settings}, tmp_path / "log", port),
            under_way(port, pushes, Authorization=token) as replies,
        ):
            assert worst_health_s(port, replies, 3) < 1
            assert {reply.result() for reply in replies} == {503}


@pytest.mark.timing
def test_health_answers_while_all_threads_decode(tmp_path: Path) -> None:
    port, image = free_port(), encoded("PNG", (3900, 3900), "RGB")
    requests = [("/predict", image + bytes([number])) for number in range(12)]
    with push_worker(ENV, tmp_path / "log", port), under_way(port, requests) as replies:
        assert worst_health_s(port, replies, 0.2) < 1
        assert {reply.result() for reply in replies} == {200}
