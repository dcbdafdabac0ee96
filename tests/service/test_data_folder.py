"""A data folder that cannot be used, and a twin that restarts with its own."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import uuid
from pathlib import Path
from typing import Any

import pytest
from google.api_core import exceptions

from infra.local.pubsub.database import Database
from infra.local.pubsub.server import PubsubServer
from infra.local.topology import Topology, TopologyError
from infra.local.twin import Twin
from tests.service.persistent_server import clients, data, kept
from tests.waiting import pull


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "")


def test_writes_fail_while_the_disk_is_full_and_recover(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = threading.Event()
    write = Database.write

    def fails(*args: Any) -> None:
        if full.is_set():
            raise sqlite3.OperationalError("database or disk is full")
        write(*args)

    monkeypatch.setattr(Database, "write", fails)
    with kept(tmp_path) as cloud:
        topic = cloud.topic()
        subscription = cloud.subscription(topic)
        cloud.publisher.publish(topic, b"before").result(10)
        full.set()
        with pytest.raises(exceptions.ServiceUnavailable, match="disk is full"):
            cloud.publisher.publish(topic, b"full", retry=None).result(10)
        full.clear()
        cloud.publisher.publish(topic, b"after").result(10)
    with kept(tmp_path) as cloud:
        assert set(data(pull(cloud, subscription, 3))) == {b"before", b"full", b"after"}


def test_an_unusable_data_folder_is_refused_with_the_reason(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "noise").mkdir()
    (tmp_path / "noise" / "pubsub.db").write_bytes(os.urandom(8192))
    (tmp_path / "later").mkdir()
    file = sqlite3.connect(tmp_path / "later" / "pubsub.db")
    file.execute("PRAGMA user_version = 9")
    file.close()
    with PubsubServer(data_dir=tmp_path / "used"):
        wanted = {
            "used": "is in use by another server",
            "file": "cannot be created: File exists",
            "noise": "file is not a database",
            "later": "its format is 9, and this server reads format 1",
        }
        for name, words in wanted.items():
            command = [sys.executable, "-m", "infra.local", "pubsub", "--data-dir", str(tmp_path / name)]
            done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=30)
            assert done.returncode == 1 and done.stdout == ""
            assert done.stderr.startswith(f"error: the data folder {tmp_path / name} ") and words in done.stderr
            assert done.stderr.count("\n") == 1
        with pytest.raises(OSError, match="in use"):
            PubsubServer(data_dir=tmp_path / "used").start()


def test_a_restarted_twin_accepts_its_own_topology(tmp_path: Path) -> None:
    topology = Topology.read()
    with Twin(topology, worker=None, data_dir=tmp_path) as twin, clients(twin.pubsub_host, "local") as cloud:
        cloud.publisher.publish("projects/local/topics/req_predict", b"x").result(10)
    changed = topology.with_retry(0.1, 0.2, max_delivery_attempts=9)
    with Twin(changed, worker=None, data_dir=tmp_path) as twin, clients(twin.pubsub_host, "local") as cloud:
        subscription = "projects/local/subscriptions/req_predict-sub"
        config = cloud.subscriber.get_subscription(subscription=subscription)
        assert config.dead_letter_policy.max_delivery_attempts == 9
        assert config.retry_policy.minimum_backoff.total_seconds() == 0.1
        assert data(pull(cloud, subscription)) == [b"x"]


def test_a_worker_on_a_new_port_receives_the_backlog(root: Path, tmp_path: Path) -> None:
    image = (root / "client" / "samples" / "sneaker.jpg").read_bytes()
    with Twin(worker=None, data_dir=tmp_path) as twin, clients(twin.pubsub_host, "local") as cloud:
        first = uuid.uuid4().hex
        cloud.publisher.publish("projects/local/topics/req_predict", image, request_id=first).result(10)
        cloud.subscriber.modify_push_config(
            subscription="projects/local/subscriptions/req_predict-sub",
            push_config={"push_endpoint": "http://127.0.0.1:9/"},
        )
    with (
        Twin(data_dir=tmp_path, log_path=tmp_path / "worker.log") as twin,
        clients(twin.pubsub_host, "local") as cloud,
    ):
        (response,) = pull(cloud, "projects/local/subscriptions/res_predict-sub")
        assert response.message.attributes["request_id"] == first
        assert response.message.attributes["status"] == "ok"


def test_a_changed_filter_is_refused_with_the_reason(tmp_path: Path) -> None:
    fields = {"topic": "mail", "delivery": "pull", "ack_deadline_seconds": 10, "retention": "600s"}
    plain: dict[str, Any] = {"topics": {"mail": {}}, "subscriptions": {"mine": fields}}
    with Twin(Topology.parse(plain), worker=None, data_dir=tmp_path):
        pass
    fields["filter"] = 'attributes.a = "b"'
    with pytest.raises(TopologyError, match="mine exists with the filter '', which cannot be changed"):
        Twin(Topology.parse(plain), worker=None, data_dir=tmp_path).start()
