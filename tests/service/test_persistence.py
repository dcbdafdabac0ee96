"""A data folder of the Pub/Sub server: what survives a kill and a restart."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import Future
from functools import partial
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

from infra.local.pubsub.server import PubsubServer
from tests.brokers import Cloud
from tests.service.endpoint import Endpoint
from tests.service.persistent_server import clients, data, kept, server
from tests.waiting import ack, nack, nothing, pull, until

AT_ONCE = {"minimum_backoff": {"nanos": 0}, "maximum_backoff": {"nanos": 0}}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "")


def test_a_kill_during_publishing_loses_no_confirmed_message(root: Path, tmp_path: Path) -> None:
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
            until(partial(seen.issuperset, answered), 30)
            assert not set(answered) - seen
            stream.cancel()
            stream.result(10)


def test_a_confirmed_ack_survives_a_kill(root: Path, tmp_path: Path) -> None:
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


def test_all_kinds_of_resources_survive_a_restart(tmp_path: Path) -> None:
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


def test_deleted_resources_stay_deleted_and_leave_the_file(tmp_path: Path) -> None:
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
    """The number of messages in the file of a stopped server, and of their places in backlogs."""
    file = sqlite3.connect(folder / "pubsub.db")
    counts = file.execute("SELECT (SELECT count(*) FROM messages), (SELECT count(*) FROM places)").fetchone()
    file.close()
    return counts[0], counts[1]


def test_messages_are_restored_unchanged_and_ids_are_not_reused(
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


def test_delivery_attempts_continue_after_a_restart_until_the_dead_letter(tmp_path: Path) -> None:
    with kept(tmp_path) as cloud:
        dead = cloud.topic("dead")
        dead_letters = cloud.subscription(dead, "dead-letters")
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
        (dead_letter,) = pull(cloud, dead_letters)
        assert dead_letter.message.attributes["CloudPubSubDeadLetterSourceDeliveryCount"] == "5"
        assert nothing(cloud, subscription, 0.1)


@pytest.mark.parametrize("leased", [0, 3])
def test_ordering_survives_a_restart(tmp_path: Path, leased: int) -> None:
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


def test_seeks_work_after_a_restart_and_survive_one(tmp_path: Path) -> None:
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
