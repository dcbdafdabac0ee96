"""The page when its disk is full, another program holds its job store, or the worker is silent."""

from __future__ import annotations

import socket
import sqlite3
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import requests
import uvicorn

from client.gcp import Cloud
from client.jobs import database
from client.web.app import application
from client.web.page import Page
from client.web.settings import Settings
from infra.local.ports import free_port, listens
from tests.service.page_server import PageServer
from tests.waiting import until

NOWHERE = "http://127.0.0.1:1"
"""The address of a worker at which nothing answers: what matters here happens before an image is sent."""

MANY = 60
"""Requests at a time: more than the page's server has threads."""


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, sqlite3.Connection]]:
    """The address of a page in this process, which waits 0.3 s for its job store, and a connection to that store."""
    monkeypatch.setattr(database, "_BUSY_S", 0.3)
    state, port = tmp_path / "jobs.db", free_port()
    with Page(Settings(cloud=Cloud(""), url=NOWHERE), str(state)) as page:
        config = uvicorn.Config(application(page, "127.0.0.1"), port=port, lifespan="off", log_level="error")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        assert until(lambda: listens(port))
        with closing(sqlite3.connect(state, isolation_level=None)) as connection:
            yield f"http://127.0.0.1:{port}", connection
        server.should_exit = True
        thread.join(10)


def test_a_locked_job_store_is_named_and_the_image_can_go_again(
    locked: tuple[str, sqlite3.Connection], samples: Path
) -> None:
    (url, other), shoe = locked, (samples / "sneaker.jpg").read_bytes()
    given = {"key": uuid.uuid4().hex, "name": "a.jpg"}
    other.execute("BEGIN EXCLUSIVE")
    reply = requests.post(f"{url}/api/images", shoe, params=given, timeout=10)
    assert reply.status_code == 503
    assert reply.json()["error"].endswith("jobs.db cannot be written: database is locked")
    other.execute("ROLLBACK")
    assert requests.post(f"{url}/api/images", shoe, params=given, timeout=10).status_code == 202
    assert [row["file"] for row in requests.get(f"{url}/api/history", timeout=10).json()["rows"]] == ["a.jpg"]


def test_a_full_disk_is_named_and_keeps_no_part(root: Path, tmp_path: Path, samples: Path) -> None:
    """A limit on the size of files stands for the disk: a write over it fails after a part."""
    resource = pytest.importorskip("resource")
    env = {name: "" for name in ("GOOGLE_CLOUD_PROJECT", "PUBSUB_EMULATOR_HOST", "WORKER_URL", "UPLOAD_BUCKET")}
    large = (samples / "sneaker.jpg").read_bytes() + bytes(2_000_000)
    with PageServer(root, tmp_path, env, "--server", NOWHERE) as server:
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
        key = uuid.uuid4().hex
        reply = server.upload(large, key)
        assert (reply.status_code, reply.json()) == (503, {"error": "the image cannot be kept: file too large"})
        assert not any((tmp_path / "jobs.db-web" / "images").iterdir()) and server.rows() == []
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert server.upload(large, key).status_code == 202
        assert len(server.rows()) == 1 and "Traceback" not in server.said()


@pytest.mark.slow
def test_a_worker_that_never_answers_does_not_stop_the_page(root: Path, tmp_path: Path, samples: Path) -> None:
    env = {name: "" for name in ("GOOGLE_CLOUD_PROJECT", "PUBSUB_EMULATOR_HOST", "WORKER_URL", "UPLOAD_BUCKET")}
    shoe = (samples / "sneaker.jpg").read_bytes()
    with (
        socket.create_server(("127.0.0.1", 0), backlog=100) as silent,
        ThreadPoolExecutor(MANY) as pool,
        PageServer(root, tmp_path, env, "--server", f"http://127.0.0.1:{silent.getsockname()[1]}") as server,
    ):
        asked = [pool.submit(requests.post, f"{server.url}/predict", shoe, timeout=60) for _ in range(MANY)]
        assert until(lambda: len(server.rows()) == MANY, 20)
        assert not any(each.done() for each in asked)
        assert server.upload(shoe, uuid.uuid4().hex).status_code == 202
        server.end()
        assert all(each.result().status_code == 503 for each in asked)
        assert "the page's server ends" in asked[0].result().json()["error"]["message"]
        assert "Traceback" not in server.said()


def test_a_failure_of_the_server_has_the_headers_of_every_reply(
    locked: tuple[str, sqlite3.Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Page, "facts", lambda page: 1 / 0)
    reply = requests.get(f"{locked[0]}/api/facts", timeout=10)
    assert (reply.status_code, reply.json()["error"]) == (
        500,
        "the page's server failed; its terminal shows the reason",
    )
    assert reply.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
