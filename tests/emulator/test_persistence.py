"""A data folder: what a server that was killed still has when it starts again."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.api_core import exceptions
from google.cloud import pubsub_v1
from google.cloud.pubsub_v1.subscriber.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.pubsub_v1 import PublisherClient, SchemaServiceClient
from google.pubsub_v1.services.schema_service.transports import SchemaServiceGrpcTransport

from infra.local.pubsub.database import Database
from infra.local.pubsub.server import PubsubServer
from infra.local.topology import Topology, TopologyError
from infra.local.twin import Twin
from tests.emulator.conftest import Cloud
from tests.emulator.endpoint import Endpoint
from tests.emulator.waiting import ack, nack, nothing, pull, until

AT_ONCE = {"minimum_backoff": {"nanos": 0}, "maximum_backoff": {"nanos": 0}}


class Server:
    """`python -m infra.local pubsub --data-dir` in a process of its own."""

    def __init__(self, root: Path, folder: Path) -> None:
        command = [sys.executable, "-m", "infra.local", "pubsub", "--data-dir", str(folder)]
        self.process = subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr
        said = self.process.stderr.readline()
        found = re.search(r"127\.0\.0\.1:\d+", said)
        assert found, said
        self.host = found[0]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate(timeout=20)


@contextmanager
def server(root: Path, folder: Path) -> Iterator[Server]:
    found = Server(root, folder)
    try:
        yield found
    finally:
        found.kill()


@contextmanager
def clients(host: str, project: str = "kept", **options: Any) -> Iterator[Cloud]:
    """Stock clients of a server; `options` are the publisher's."""
    os.environ["PUBSUB_EMULATOR_HOST"] = host  # restored by the fixture below
    publisher, subscriber = pubsub_v1.PublisherClient(**options), pubsub_v1.SubscriberClient()
    try:
        yield Cloud("embedded", host, project, publisher, subscriber)
    finally:
        publisher.stop()
        publisher.transport.close()
        subscriber.close()


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "")


@contextmanager
def kept(folder: Path) -> Iterator[Cloud]:
    """A server in this process, and clients of it."""
    with PubsubServer(data_dir=folder) as held, clients(held.host) as cloud:
        yield cloud


def data(received: list[Any]) -> list[bytes]:
    return [each.message.data for each in received]


def test_killed_in_the_middle_of_publishing_it_has_every_message_that_it_answered(root: Path, tmp_path: Path) -> None:
    subscriptions = ["first", "second"]
    answered: list[bytes] = []
    enough = threading.Event()

    def publish(cloud: Cloud, topic: str, name: int) -> None:
        def note(future: Future[str], body: bytes) -> None:
            if not future.cancelled() and not future.exception():
                answered.append(body)
                if len(answered) > 500:
                    enough.set()

        for number in range(3000):
            body = b"%d-%d" % (name, number) + b" " * 500
            future = cloud.publisher.publish(topic, body, retry=None, timeout=5)
            future.add_done_callback(lambda future, body=body: note(future, body))
            if enough.is_set() and number % 100 == 0 and futures_fail(future):
                return

    def futures_fail(future: Future[str]) -> bool:
        return future.exception(20) is not None

    with server(root, tmp_path) as before, clients(before.host) as cloud:
        topic = cloud.topic()
        for name in subscriptions:
            cloud.subscription(topic, name)
        threads = [threading.Thread(target=publish, args=(cloud, topic, name)) for name in range(4)]
        for each in threads:
            each.start()
        assert enough.wait(30)
        before.kill()
        for each in threads:
            each.join(60)
    assert 500 < len(answered) < 12_000, "it was killed while they published"
    with server(root, tmp_path) as after, clients(after.host) as cloud:
        for name in subscriptions:
            path = f"projects/kept/subscriptions/{name}"
            seen: set[bytes] = set()

            def take(message: Message, seen: set[bytes] = seen) -> None:
                seen.add(message.data)
                message.ack()

            stream = cloud.subscriber.subscribe(path, take)
            until(lambda seen=seen: seen >= set(answered), 30)
            assert not set(answered) - seen
            stream.cancel()
            stream.result(10)


def test_an_ack_that_was_answered_exactly_once_holds_over_a_kill(root: Path, tmp_path: Path) -> None:
    with server(root, tmp_path) as before, clients(before.host) as cloud:
        topic = cloud.topic()
        subscription = cloud.subscription(topic, enable_exactly_once_delivery=True)
        sent = [cloud.publisher.publish(topic, b"%d" % number) for number in range(200)]
        ids = {each.result(10) for each in sent}
        held: set[str] = set()
        asked: set[str] = set()
        enough = threading.Event()

        def acknowledge(received: list[Any]) -> None:
            for each in received:
                asked.add(each.message.message_id)
                try:
                    cloud.subscriber.acknowledge(
                        subscription=subscription, ack_ids=[each.ack_id], retry=None, timeout=5
                    )
                except exceptions.GoogleAPICallError:
                    return
                held.add(each.message.message_id)
                if len(held) >= 50:
                    enough.set()

        received = pull(cloud, subscription, 200)
        threads = [threading.Thread(target=acknowledge, args=(received[part::4],)) for part in range(4)]
        for thread in threads:
            thread.start()
        assert enough.wait(30)
        before.kill()
        for thread in threads:
            thread.join(60)
    with server(root, tmp_path) as after, clients(after.host) as cloud:
        rest = {each.message.message_id for each in pull(cloud, subscription, len(ids - asked))}
        rest |= {each.message.message_id for each in pull(cloud, subscription, 200, 0.5)}
    assert not rest & held, "an ack that was answered was forgotten"
    assert ids - asked <= rest <= ids


def test_topics_subscriptions_snapshots_schemas_and_policies_are_there(tmp_path: Path) -> None:
    definition = '{"type": "record", "name": "R", "fields": [{"name": "x", "type": "int"}]}'
    wider = definition.replace("int", "double")
    with kept(tmp_path) as cloud:
        channel = grpc.insecure_channel(cloud.host)
        schemas = SchemaServiceClient(transport=SchemaServiceGrpcTransport(channel=channel))
        wanted: dict[str, Any] = {"type_": "AVRO", "definition": definition}
        schema = schemas.create_schema(parent="projects/kept", schema=wanted, schema_id="schema")
        schemas.commit_schema(name=schema.name, schema={**wanted, "name": schema.name, "definition": wider})
        revisions = list(schemas.list_schema_revisions(name=schema.name))
        channel.close()
        topic = cloud.topic(labels={"a": "b"}, schema_settings={"schema": schema.name, "encoding": "JSON"})
        plain, dead = cloud.topic("plain", message_retention_duration={"seconds": 600}), cloud.topic("dead")
        subscription = cloud.subscription(
            plain,
            filter='attributes.a = "b"',
            retry_policy=AT_ONCE,
            dead_letter_policy={"dead_letter_topic": dead, "max_delivery_attempts": 7},
            enable_message_ordering=True,
            retain_acked_messages=True,
        )
        gone, orphan = cloud.topic("gone"), cloud.subscription(cloud.topic("lost"), "orphan")
        cloud.publisher.delete_topic(topic=gone)
        cloud.publisher.delete_topic(topic="projects/kept/topics/lost")
        cloud.subscriber.create_snapshot(name="projects/kept/snapshots/snapshot", subscription=subscription)
        policy = {"bindings": [{"role": "roles/pubsub.viewer", "members": ["allUsers"]}]}
        policy = cloud.publisher.set_iam_policy(request={"resource": topic, "policy": policy})
        found = everything(cloud)
    with kept(tmp_path) as cloud:
        assert everything(cloud) == found
        assert cloud.publisher.get_iam_policy(request={"resource": topic}) == policy
        assert cloud.subscriber.get_subscription(subscription=orphan).topic == "_deleted-topic_"
        channel = grpc.insecure_channel(cloud.host)
        schemas = SchemaServiceClient(transport=SchemaServiceGrpcTransport(channel=channel))
        assert list(schemas.list_schema_revisions(name=schema.name)) == revisions
        channel.close()
        with pytest.raises(exceptions.InvalidArgument, match="schema"):
            cloud.publisher.publish(topic, b"no JSON").result(10)
        cloud.publisher.publish(topic, b'{"x": 1.5}').result(10)
        for value in ("b", "c"):
            cloud.publisher.publish(plain, b"x", a=value).result(10)
        assert [each.message.attributes["a"] for each in pull(cloud, subscription, 2, 0.5)] == ["b"]


def everything(cloud: Cloud) -> list[Any]:
    project = f"projects/{cloud.project}"
    return [
        list(cloud.publisher.list_topics(project=project)),
        list(cloud.subscriber.list_subscriptions(project=project)),
        list(cloud.subscriber.list_snapshots(project=project)),
    ]


def test_what_was_deleted_stays_deleted_and_leaves_nothing_in_the_file(tmp_path: Path) -> None:
    with kept(tmp_path) as cloud:
        topic = cloud.topic(message_retention_duration={"seconds": 600})
        subscription = cloud.subscription(topic, retain_acked_messages=True)
        for number in range(3):
            cloud.publisher.publish(topic, b"%d" % number).result(10)
        ack(cloud, subscription, pull(cloud, subscription, 1))
        cloud.subscriber.create_snapshot(name="projects/kept/snapshots/snapshot", subscription=subscription)
    assert stored(tmp_path) == (3, 3 + 2 + 1 + 2)  # retained by the topic, owed, acked, in the snapshot
    with kept(tmp_path) as cloud:
        cloud.subscriber.delete_snapshot(snapshot="projects/kept/snapshots/snapshot")
        cloud.subscriber.delete_subscription(subscription=subscription)
        cloud.publisher.delete_topic(topic=topic)
        cloud.subscription(cloud.topic(), "subscription")
    assert stored(tmp_path) == (0, 0)
    with kept(tmp_path) as cloud:
        assert nothing(cloud, subscription)


def stored(folder: Path) -> tuple[int, int]:
    """How many messages are in the file of a stopped server, and how many places they have."""
    file = sqlite3.connect(folder / "pubsub.db")
    counts = file.execute("SELECT (SELECT count(*) FROM messages), (SELECT count(*) FROM places)").fetchone()
    file.close()
    return counts[0], counts[1]


def test_a_message_comes_back_whole_under_an_id_that_is_never_given_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {"data": b"\x00\xff", "attributes": {"a": "b"}, "ordering_key": "k"}
    with kept(tmp_path) as cloud:
        topic = cloud.topic()
        subscription = cloud.subscription(topic)
        PublisherClient.publish(cloud.publisher, topic=topic, messages=[wanted])
        (before,) = pull(cloud, subscription)
    monkeypatch.setattr("time.time_ns", lambda: 1_000_000_000)  # the clock was set back
    with kept(tmp_path) as cloud:
        assert pull(cloud, subscription)[0].message == before.message
        later = int(cloud.publisher.publish(topic, b"x").result(10))
    assert later > int(before.message.message_id)


def test_attempts_go_on_and_the_poison_reaches_its_dead_letters(tmp_path: Path) -> None:
    with kept(tmp_path) as cloud:
        dead = cloud.topic("dead")
        letters = cloud.subscription(dead, "letters")
        topic = cloud.topic()
        policy = {"dead_letter_topic": dead, "max_delivery_attempts": 5}
        subscription = cloud.subscription(topic, dead_letter_policy=policy, retry_policy=AT_ONCE)
        cloud.publisher.publish(topic, b"poison").result(10)
        for _ in range(3):
            nack(cloud, subscription, pull(cloud, subscription))
    with kept(tmp_path) as cloud:
        received = pull(cloud, subscription)
        assert [each.delivery_attempt for each in received] == [4]
        nack(cloud, subscription, received)
        nack(cloud, subscription, pull(cloud, subscription))
        assert until(lambda: nothing(cloud, subscription, 0.05))
    with kept(tmp_path) as cloud:
        (letter,) = pull(cloud, letters)
        assert letter.message.attributes["CloudPubSubDeadLetterSourceDeliveryCount"] == "5"
        assert nothing(cloud, subscription, 0.1)


@pytest.mark.parametrize("leased", [0, 3])
def test_the_order_is_kept(tmp_path: Path, leased: int) -> None:
    options = {"publisher_options": pubsub_v1.types.PublisherOptions(enable_message_ordering=True)}
    with PubsubServer(data_dir=tmp_path) as held, clients(held.host, **options) as cloud:
        topic = cloud.topic()
        subscription = cloud.subscription(topic, enable_message_ordering=True)
        for number in range(20):
            cloud.publisher.publish(topic, b"%d" % number, ordering_key="k").result(10)
        if leased:
            received = pull(cloud, subscription, leased)
            ack(cloud, subscription, received[:1])
    first = 1 if leased else 0
    with kept(tmp_path) as cloud:
        assert data(pull(cloud, subscription, 20 - first)) == [b"%d" % number for number in range(first, 20)]


def test_a_seek_to_a_time_or_a_snapshot_works_after_a_restart_and_holds_over_one(tmp_path: Path) -> None:
    with kept(tmp_path) as cloud:
        topic = cloud.topic(message_retention_duration={"seconds": 600})
        subscription = cloud.subscription(topic, retain_acked_messages=True)
        other = cloud.subscription(topic, "other")
        cloud.publisher.publish(topic, b"0").result(10)
        cloud.subscriber.create_snapshot(name="projects/kept/snapshots/snapshot", subscription=subscription)
        cloud.publisher.publish(topic, b"1").result(10)
        for each in (subscription, other):
            ack(cloud, each, pull(cloud, each, 2))
    with kept(tmp_path) as cloud:
        assert nothing(cloud, subscription, 0.1) and nothing(cloud, other, 0.1)
        cloud.subscriber.seek(request={"subscription": subscription, "snapshot": "projects/kept/snapshots/snapshot"})
        cloud.subscriber.seek(request={"subscription": other, "time": Timestamp(seconds=1)})
    with kept(tmp_path) as cloud:
        assert data(pull(cloud, subscription, 2)) == data(pull(cloud, other, 2)) == [b"0", b"1"]


def test_pushes_go_on_after_a_restart(tmp_path: Path, endpoint: Endpoint) -> None:
    endpoint.statuses = [503]
    with kept(tmp_path) as cloud:
        topic = cloud.topic()
        push = {"push_endpoint": endpoint.url}
        cloud.subscription(topic, push_config=push, retry_policy=AT_ONCE, enable_message_ordering=True)
        ordered = [{"data": b"%d" % number, "ordering_key": "k"} for number in range(2)]
        PublisherClient.publish(cloud.publisher, topic=topic, messages=ordered)
        assert until(lambda: endpoint.pushes)
    endpoint.statuses, refused = [204], len(endpoint.pushes)
    with kept(tmp_path):
        assert until(lambda: len(endpoint.pushes) > refused + 1), "the second goes out when the first is acked"
    assert stored(tmp_path) <= (1, 1)


def test_a_file_that_cannot_be_written_is_an_error_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_a_folder_that_cannot_be_used_is_refused_in_words(root: Path, tmp_path: Path) -> None:
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
            "file": "cannot be made: File exists",
            "noise": "file is not a database",
            "later": "it has format 9, and this server reads format 1",
        }
        for name, words in wanted.items():
            command = [sys.executable, "-m", "infra.local", "pubsub", "--data-dir", str(tmp_path / name)]
            done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=30)
            assert done.returncode == 1 and done.stdout == ""
            assert done.stderr.startswith(f"error: the data folder {tmp_path / name} ") and words in done.stderr
            assert done.stderr.count("\n") == 1
        with pytest.raises(OSError, match="in use"):
            PubsubServer(data_dir=tmp_path / "used").start()


def test_a_twin_meets_its_topology_again(tmp_path: Path) -> None:
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


def test_a_worker_that_starts_again_elsewhere_is_pushed_what_it_missed(root: Path, tmp_path: Path) -> None:
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
        assert b'"delivery_attempt": 2' not in response.message.data


def test_a_filter_that_changed_is_refused_in_words(tmp_path: Path) -> None:
    fields = {"topic": "letters", "delivery": "pull", "ack_deadline_seconds": 10, "retention": "600s"}
    plain: dict[str, Any] = {"topics": {"letters": {}}, "subscriptions": {"mine": fields}}
    with Twin(Topology.parse(plain), worker=None, data_dir=tmp_path):
        pass
    fields["filter"] = 'attributes.a = "b"'
    with pytest.raises(TopologyError, match="mine exists with the filter '', which cannot be changed"):
        Twin(Topology.parse(plain), worker=None, data_dir=tmp_path).start()
