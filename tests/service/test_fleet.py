"""A worker of several processes: each answers, and they end together."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from infra.local.ports import free_port
from infra.local.twin import Twin
from tests.processes import alive
from tests.pubsub_client import PubsubClient
from tests.samples import encoded
from tests.waiting import until

PROCESSES = 2


@pytest.fixture
def pubsub(monkeypatch: pytest.MonkeyPatch) -> Iterator[PubsubClient]:
    with Twin(worker=None) as twin:
        for name, value in twin.env.items():
            monkeypatch.setenv(name, value)
        with PubsubClient(twin.env["GOOGLE_CLOUD_PROJECT"]) as pubsub:
            yield pubsub


def started(root: Path, log: Path, *command: str, **settings: str) -> subprocess.Popen[bytes]:
    with log.open("wb") as stderr:
        return subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=root, env={**os.environ, "WORKER_PROCESSES": str(PROCESSES), **settings}, stderr=stderr,
        )  # fmt: skip


@contextmanager
def fleet(
    root: Path, log: Path, *command: str, ready: str = '"worker ready"', **settings: str
) -> Iterator[tuple[subprocess.Popen[bytes], list[int]]]:
    """The parent process and its children, ready."""
    worker = started(root, log, *(command or ["functions.entrypoints.pull_worker"]), **settings)
    try:
        assert until(lambda: log.read_text().count(ready) == PROCESSES, 60), log.read_text()
        children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
        assert len(children) == PROCESSES
        yield worker, [int(child) for child in children]
    finally:
        worker.kill()
        worker.wait()


@contextmanager
def pushed_fleet(
    root: Path, log: Path, pubsub: PubsubClient
) -> Iterator[tuple[subprocess.Popen[bytes], list[int], str]]:
    """A push worker, to which the twin pushes the requests: parent process, children and address."""
    port = free_port()
    command = ["functions.runtime.fast_start", "functions.entrypoints.server", "--port", str(port)]
    with fleet(root, log, *command, ready='"model loaded"', HTTP_ENDPOINT="on") as (worker, children):
        pubsub.subscriber.modify_push_config(
            subscription=pubsub.subscriber.subscription_path(pubsub.project, "req_predict-sub"),
            push_config={"push_endpoint": f"http://127.0.0.1:{port}/"},
        )
        yield worker, children, f"http://127.0.0.1:{port}"


def test_all_processes_answer_and_stop_in_order(root: Path, tmp_path: Path, pubsub: PubsubClient) -> None:
    log, ids = tmp_path / "log", {f"r{number}" for number in range(100)}
    address = f"127.0.0.1:{free_port()}"
    with fleet(root, log, HEALTH_ADDRESS=address) as (worker, children):
        for request_id in ids:
            pubsub.publish(encoded(), request_id=request_id)
        assert [response.status for response in pubsub.responses(ids, copies_for_s=1.0)] == ["ok"] * len(ids)
        assert urlopen(f"http://{address}/health", timeout=10).read() == b'{"status": "ok"}'
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(15) == 0, log.read_text()
        assert not alive(children)
    assert log.read_text().count('"worker stopped"') == PROCESSES and "Traceback" not in log.read_text()


def test_all_processes_of_a_push_worker_answer_and_stop_in_order(
    root: Path, tmp_path: Path, pubsub: PubsubClient
) -> None:
    log, ids = tmp_path / "log", {f"r{number}" for number in range(200)}
    with pushed_fleet(root, log, pubsub) as (worker, children, url):
        for request_id in ids:
            pubsub.publish(encoded(), request_id=request_id)
        assert [response.status for response in pubsub.responses(ids, copies_for_s=1.0)] == ["ok"] * len(ids)
        answered: dict[str, int] = {}
        for _ in range(200):  # each on a connection of its own, until both processes have accepted one
            reply = json.loads(urlopen(f"{url}/health", timeout=10).read())
            answered[json.dumps(reply)] = reply["outcomes"]["ok"]
            if len(answered) == PROCESSES:
                break
        assert sum(answered.values()) == len(ids) and 0 not in answered.values()
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(15) == 0, log.read_text()
        assert not alive(children)
    assert "Traceback" not in log.read_text()


def test_a_process_of_a_push_worker_that_dies_ends_the_others(root: Path, tmp_path: Path, pubsub: PubsubClient) -> None:
    with pushed_fleet(root, tmp_path / "log", pubsub) as (worker, children, _):
        os.kill(children[0], signal.SIGKILL)
        assert worker.wait(15) == signal.SIGKILL
        assert not alive(children)


def test_no_process_of_a_push_worker_outlives_its_parent(root: Path, tmp_path: Path, pubsub: PubsubClient) -> None:
    with pushed_fleet(root, tmp_path / "log", pubsub) as (worker, children, _):
        worker.kill()
        assert until(lambda: not alive(children), 15)


def test_a_push_worker_without_a_model_says_so(root: Path, tmp_path: Path, pubsub: PubsubClient) -> None:
    log, port = tmp_path / "log", free_port()
    command = ["functions.runtime.fast_start", "functions.entrypoints.server", "--port", str(port)]
    worker = started(root, log, *command, ARTIFACT=str(tmp_path))
    try:
        assert until(lambda: log.read_text().count("the model could not be loaded yet: ") == PROCESSES, 60)
        with pytest.raises(HTTPError, match="503"):
            urlopen(f"http://127.0.0.1:{port}/ready", timeout=10)
        worker.terminate()
        assert worker.wait(15) == 0 and "Traceback" not in log.read_text()
    finally:
        worker.kill()
        worker.wait()


def test_a_process_that_dies_ends_the_others(root: Path, tmp_path: Path, pubsub: PubsubClient) -> None:
    with fleet(root, tmp_path / "log") as (worker, children):
        os.kill(children[0], signal.SIGKILL)
        assert worker.wait(15) == signal.SIGKILL
        assert not alive(children)


def test_no_process_outlives_its_parent(root: Path, tmp_path: Path, pubsub: PubsubClient) -> None:
    with fleet(root, tmp_path / "log") as (worker, children):
        worker.kill()
        assert until(lambda: not alive(children), 15)


def test_a_broken_model_ends_all_processes(root: Path, tmp_path: Path, pubsub: PubsubClient) -> None:
    env = {**os.environ, "WORKER_PROCESSES": "2", "ARTIFACT": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-m", "functions.entrypoints.pull_worker"], cwd=root, env=env, capture_output=True, timeout=60
    )
    assert ended.returncode == 2 and b"cannot start: " in ended.stderr and b"Traceback" not in ended.stderr
