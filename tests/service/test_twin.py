"""The twin as a library: in this process, with its environment, on either backend, with push or pull."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
from google.cloud import pubsub_v1, storage

from infra.local import google
from infra.local.child import ChildFailed
from infra.local.google import NoEmulator
from infra.local.ports import listens
from infra.local.topology import Topology
from infra.local.twin import Twin
from tests.waiting import until


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


def test_a_dropped_file_reaches_the_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    with Twin(worker=None, project="mine") as twin:
        for name, value in twin.env.items():
            monkeypatch.setenv(name, value)
        assert "WORKER_URL" not in twin.env and twin.worker_url is None
        client = storage.Client(project=twin.project)
        client.bucket(twin.env["UPLOAD_BUCKET"]).blob("a.png").upload_from_string(b"x")
        client.bucket(twin.env["PAYLOAD_BUCKET"]).blob("b.png").upload_from_string(b"x")
        client.close()
        with pubsub_v1.SubscriberClient() as subscriber:
            requests = "projects/mine/subscriptions/req_predict-sub"
            received = subscriber.pull(subscription=requests, max_messages=5, timeout=5).received_messages
        assert [json.loads(each.message.data)["name"] for each in received] == ["a.png"]
    assert not listens(_port(twin.pubsub_host)) and not listens(_port(twin.storage_url))


def test_the_twin_runs_a_storage_server() -> None:
    twin = Twin(worker=None)
    with pytest.raises(RuntimeError, match="is not running"):
        _ = twin.storage
    with twin:
        twin.storage.fail(times=0)


def test_a_wrong_worker_setting_is_an_error_and_stops_the_twin(tmp_path: Path) -> None:
    twin = Twin(worker_env={"ARTIFACT": str(tmp_path / "absent")}, log_path=tmp_path / "worker.log")
    with pytest.raises(ChildFailed, match=r"(?s)/ready with 503.*absent"), twin:
        pass
    assert not listens(_port(twin.pubsub_host)) and not listens(_port(twin.worker_url or ""))


def test_the_topology_can_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    topology = Topology.parse({"topics": {"mail": {}}, "buckets": {}})
    with Twin(topology, worker=None) as twin:
        assert "UPLOAD_BUCKET" not in twin.env
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", twin.pubsub_host)
        publisher = pubsub_v1.PublisherClient()
        topics = [topic.name for topic in publisher.list_topics(project="projects/local")]
        publisher.transport.close()
    assert topics == ["projects/local/topics/mail"]


def test_without_googles_emulator_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(google, "_COMMON_ROOTS", ())
    monkeypatch.setenv("PATH", "/nonexistent")
    with (
        pytest.raises(NoEmulator, match="gcloud components install pubsub-emulator"),
        Twin(worker=None, pubsub="google"),
    ):
        pass


def test_many_twins_start_and_stop_without_leftovers() -> None:
    for _ in range(3):
        with Twin(worker=None) as twin:
            assert listens(_port(twin.pubsub_host))
        assert until(partial(lambda host: not listens(_port(host)), twin.pubsub_host))
