"""A pull stream that hangs on open connections: /health reports it, and the worker ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from infra.local.admin import create
from infra.local.ports import free_port, listens
from infra.local.pubsub.server import PubsubServer
from infra.local.topology import Topology
from tests.blackhole_proxy import BlackholeProxy
from tests.log_lines import log_lines
from tests.pubsub_client import PubsubClient
from tests.samples import encoded
from tests.waiting import until

SILENCE_S = 6
Hang = Callable[[], None]


@contextmanager
def stopped_broker(root: Path) -> Iterator[tuple[str, Hang]]:
    """A broker whose process can be stopped, as by a debugger or a machine out of memory."""
    port = free_port()
    broker = subprocess.Popen([sys.executable, "-m", "infra.local", "pubsub", "--port", str(port)], cwd=root)
    try:
        assert until(lambda: listens(port), 30)
        yield f"127.0.0.1:{port}", lambda: broker.send_signal(signal.SIGSTOP)
    finally:
        broker.kill()
        broker.wait()


@contextmanager
def swallowing_road(root: Path) -> Iterator[tuple[str, Hang]]:
    """A healthy broker behind a proxy that drops bytes, like a firewall that has forgotten a connection."""
    with PubsubServer() as server, BlackholeProxy(server.host) as proxy:
        yield proxy.host, proxy.swallow


@contextmanager
def pull_worker(root: Path, log: Path, **settings: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A worker and the address of its /health."""
    address = f"127.0.0.1:{free_port()}"
    env = {**os.environ, "HEALTH_ADDRESS": address, "PULL_SILENCE_S": str(SILENCE_S), **settings}
    with log.open("wb") as stderr:
        worker = subprocess.Popen(
            [sys.executable, "-m", "functions.entrypoints.pull_worker"], cwd=root, env=env, stderr=stderr
        )
        try:
            assert until(lambda: b'"worker ready"' in log.read_bytes() or worker.poll() is not None, 30)
            yield worker, f"http://{address}/health"
        finally:
            worker.kill()
            worker.wait()


@pytest.mark.parametrize("hanging", [stopped_broker, swallowing_road])
def test_a_stuck_stream_is_detected_and_ends_the_worker(
    hanging: Callable[[Path], Any], root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "worker.log"
    with hanging(root) as (host, hang):
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", host)
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")  # never contacted
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "local")
        create(Topology.read(), host, "local")
        with pull_worker(root, log) as (worker, health):
            with PubsubClient("local") as pubsub:
                pubsub.publish(encoded(), request_id="r1")
                assert [response.status for response in pubsub.responses({"r1"})] == ["ok"]

            # Idle for longer than it may hear nothing: that is no trouble.
            idle_until = time.monotonic() + 1.5 * SILENCE_S
            while time.monotonic() < idle_until:
                assert requests.get(health, timeout=5).status_code == 200
            assert requests.get(health, timeout=5).json()["outcomes"]["ok"] == 1

            hang()
            hung = time.monotonic()
            assert until(lambda: requests.get(health, timeout=5).status_code == 503, 2 * SILENCE_S)
            assert "the broker has not answered" in requests.get(health, timeout=5).json()["status"]
            assert worker.wait(SILENCE_S + 15) == 1
            print(f"the worker ended {time.monotonic() - hung:.1f} s after the stream hung")
    (said,) = [line for line in log_lines(log) if line["message"].startswith("the worker is stuck")]
    assert said["severity"] == "ERROR" and "the broker has not answered for" in said["message"]


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A broker with the topology on it, that stock clients of this process use."""
    with PubsubServer() as server:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", server.host)
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")  # never contacted
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "local")
        create(Topology.read().with_retry(0.2, 0.8), server.host, "local")
        yield server.host


@pytest.mark.slow
def test_a_worker_that_is_busy_when_its_streams_hang_ends_too(broker: str, root: Path, tmp_path: Path) -> None:
    log, image, count, answered = tmp_path / "worker.log", encoded("JPEG", (1600, 1200), "RGB"), 300, 0
    with BlackholeProxy(broker) as proxy, PubsubClient("local") as pubsub:
        for number in range(count):
            pubsub.publish(image, request_id=f"r{number}")
        with pull_worker(root, log, PUBSUB_EMULATOR_HOST=proxy.host, MAX_BATCH_SIZE="2") as (worker, _):
            deadline = time.monotonic() + 30
            while not answered and time.monotonic() < deadline:
                answered += len(pubsub.responses({"never"}, timeout_s=0.05))
            proxy.swallow()
            # It holds messages, and responses that go nowhere: ending in order is stuck as well.
            assert worker.wait(SILENCE_S + 15) == 1
        answered += len(pubsub.responses({"never"}, timeout_s=0.2))
    assert 0 < answered < count, "it was busy"
    assert [line["severity"] for line in log_lines(log) if line["message"].startswith("the worker is stuck")] == [
        "ERROR"
    ]


def test_a_stream_that_ends_for_good_ends_the_worker(broker: str, root: Path, tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    with pull_worker(root, log) as (worker, _), PubsubClient("local") as pubsub:
        pubsub.subscriber.delete_subscription(subscription="projects/local/subscriptions/dead_predict-announce")
        assert worker.wait(15) == 1
    assert [line["severity"] for line in log_lines(log) if line["message"].startswith("a pull stream broke")] == [
        "ERROR"
    ]


def test_a_health_address_in_use_ends_the_worker(broker: str, root: Path, tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    with pull_worker(root, log, HEALTH_ADDRESS=broker) as (worker, _):
        assert worker.wait(15) == 2
    (said,) = [line for line in log_lines(log) if line["severity"] == "ERROR"]
    assert said["message"].startswith(f"cannot start: HEALTH_ADDRESS is '{broker}'; the worker cannot listen there")


def test_a_broker_that_refuses_the_check_counts_as_alive(
    google: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Google's emulator answers a permission check with 501, which counts as a reply."""
    log = tmp_path / "worker.log"
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", google)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "idle")
    create(Topology.read(), google, "idle")
    with pull_worker(root, log) as (worker, health):
        idle_until = time.monotonic() + 1.5 * SILENCE_S
        while time.monotonic() < idle_until:
            assert requests.get(health, timeout=5).status_code == 200
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(10) == 0
    assert "Traceback" not in log.read_text()
