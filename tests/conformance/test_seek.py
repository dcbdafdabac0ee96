"""Seek: to a time and to a snapshot, and the retention of topics and subscriptions."""

from __future__ import annotations

import asyncio
import itertools
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.api_core import exceptions

from infra.local.pubsub.delivery import Backlog
from infra.local.pubsub.ordering import OrderedBacklog
from infra.local.pubsub.policy import Policy
from infra.local.pubsub.stored_message import StoredMessage
from tests.brokers import Cloud
from tests.waiting import ack, nothing, pull

HOUR = timedelta(hours=1)


def _publish(cloud: Cloud, topic: str, *words: str, **attributes: str) -> None:
    for word in words:
        cloud.publisher.publish(topic, word.encode(), **attributes).result(10)


def _data(received: list[Any]) -> set[str]:
    return {each.message.data.decode() for each in received}


def _answered(cloud: Cloud, subscription: str, count: int) -> list[Any]:
    received = pull(cloud, subscription, count)
    ack(cloud, subscription, received)
    return received


def _seek(cloud: Cloud, subscription: str, at: datetime) -> None:
    cloud.subscriber.seek({"subscription": subscription, "time": at})


def test_a_seek_to_the_future_purges(cloud: Cloud) -> None:
    topic = cloud.topic()
    subscription = cloud.subscription(topic)
    _publish(cloud, topic, "1", "2")
    (leased,) = pull(cloud, subscription)
    _seek(cloud, subscription, datetime.now(UTC) + HOUR)
    cloud.subscriber.modify_ack_deadline(subscription=subscription, ack_ids=[leased.ack_id], ack_deadline_seconds=0)
    assert nothing(cloud, subscription)
    _publish(cloud, topic, "3")
    assert _data(pull(cloud, subscription)) == {"3"}


def test_a_seek_back_replays_retained_messages(cloud: Cloud) -> None:
    topic = cloud.topic()
    subscription = cloud.subscription(topic, retain_acked_messages=True)
    _publish(cloud, topic, "1")
    _answered(cloud, subscription, 1)
    _publish(cloud, topic, "2", "3")
    since = min(each.message.publish_time for each in _answered(cloud, subscription, 2))
    _publish(cloud, topic, "4")
    _seek(cloud, subscription, since)
    assert _data(_answered(cloud, subscription, 3)) == {"2", "3", "4"}
    _seek(cloud, subscription, datetime.now(UTC) - HOUR)
    assert _data(pull(cloud, subscription, 4)) == {"1", "2", "3", "4"}
    assert nothing(cloud, subscription)


def test_without_retention_a_seek_back_replays_unacked_messages(cloud: Cloud) -> None:
    topic = cloud.topic()
    subscription = cloud.subscription(topic)
    _publish(cloud, topic, "1", "2")
    (acked,) = _answered(cloud, subscription, 1)
    _seek(cloud, subscription, datetime.now(UTC) - HOUR)
    assert _data(pull(cloud, subscription, 2, 0.5)) == {"1", "2"} - _data([acked])


@pytest.mark.parametrize("cloud", ["embedded"], indirect=True)
def test_purged_messages_are_retained(cloud: Cloud) -> None:
    topic = cloud.topic()
    subscription = cloud.subscription(topic, retain_acked_messages=True)
    _publish(cloud, topic, "1")
    _seek(cloud, subscription, datetime.now(UTC) + HOUR)
    assert nothing(cloud, subscription)
    _seek(cloud, subscription, datetime.now(UTC) - HOUR)
    assert _data(pull(cloud, subscription)) == {"1"}
    cloud.subscriber.update_subscription(
        subscription={"name": subscription}, update_mask={"paths": ["retain_acked_messages"]}
    )
    _seek(cloud, subscription, datetime.now(UTC) + HOUR)
    _seek(cloud, subscription, datetime.now(UTC) - HOUR)
    assert nothing(cloud, subscription)


@pytest.mark.parametrize("cloud", ["embedded"], indirect=True)
def test_a_topic_retains_for_subscriptions_that_come_later(cloud: Cloud) -> None:
    topic = cloud.topic(message_retention_duration={"seconds": 600})
    _publish(cloud, topic, "1", color="red")
    _publish(cloud, topic, "2", color="blue")
    subscription = cloud.subscription(topic, filter='attributes.color = "red"')
    retention = cloud.subscriber.get_subscription(subscription=subscription).topic_message_retention_duration
    assert retention.total_seconds() == 600
    assert nothing(cloud, subscription)
    _seek(cloud, subscription, datetime.now(UTC) - HOUR)
    assert _data(pull(cloud, subscription, 2, 0.5)) == {"1"}
    cloud.publisher.update_topic(topic={"name": topic}, update_mask={"paths": ["message_retention_duration"]})
    assert not cloud.subscriber.get_subscription(subscription=subscription).topic_message_retention_duration
    _seek(cloud, subscription, datetime.now(UTC) + HOUR)
    _seek(cloud, subscription, datetime.now(UTC) - HOUR)
    assert nothing(cloud, subscription)


@pytest.mark.parametrize("cloud", ["embedded"], indirect=True)
def test_a_seek_back_keeps_the_order_of_keys(cloud: Cloud) -> None:
    from google.pubsub_v1 import PublisherClient as Plain

    topic = cloud.topic()
    subscription = cloud.subscription(topic, retain_acked_messages=True, enable_message_ordering=True)
    messages = [{"data": b"%d" % number, "ordering_key": "k"} for number in range(5)]
    Plain.publish(cloud.publisher, topic=topic, messages=messages)
    received = pull(cloud, subscription, 5)
    ack(cloud, subscription, received[:2])
    _seek(cloud, subscription, datetime.now(UTC) - HOUR)
    assert [each.message.data for each in pull(cloud, subscription, 5)] == [b"0", b"1", b"2", b"3", b"4"]


def test_a_snapshot_restores_unacked_and_newer_messages(cloud: Cloud) -> None:
    topic = cloud.topic()
    subscription, other = cloud.subscription(topic), cloud.subscription(topic, "other")
    _publish(cloud, topic, "1", "2")
    (acked,) = _answered(cloud, subscription, 1)
    snapshot = f"projects/{cloud.project}/snapshots/snapshot"
    made = cloud.subscriber.create_snapshot(name=snapshot, subscription=subscription)
    assert made.name == snapshot
    assert timedelta(days=6, hours=23) < made.expire_time - datetime.now(UTC) <= timedelta(days=7)
    _publish(cloud, topic, "3")
    _answered(cloud, subscription, 2)
    assert nothing(cloud, subscription)
    for each in (subscription, other):
        cloud.subscriber.seek({"subscription": each, "snapshot": snapshot})
        assert _data(pull(cloud, each, 3, 0.7)) == {"1", "2", "3"} - _data([acked])


def test_snapshots_are_listed_changed_and_deleted(cloud: Cloud) -> None:
    topic = cloud.topic()
    subscription = cloud.subscription(topic)
    names = [f"projects/{cloud.project}/snapshots/{each}" for each in ("aaa", "bbb")]
    for name in names:
        cloud.subscriber.create_snapshot({"name": name, "subscription": subscription, "labels": {"a": "1"}})
    assert [each.name for each in cloud.subscriber.list_snapshots(project=f"projects/{cloud.project}")] == names
    cloud.subscriber.update_snapshot(
        snapshot={"name": names[0], "labels": {"b": "2"}}, update_mask={"paths": ["labels"]}
    )
    (first, _) = cloud.subscriber.list_snapshots(project=f"projects/{cloud.project}")
    assert (dict(first.labels), first.topic) == ({"b": "2"}, topic)
    with pytest.raises(exceptions.AlreadyExists):
        cloud.subscriber.create_snapshot(name=names[0], subscription=subscription)
    cloud.subscriber.delete_snapshot(snapshot=names[0])
    assert [each.name for each in cloud.subscriber.list_snapshots(project=f"projects/{cloud.project}")] == names[1:]
    with pytest.raises(exceptions.NotFound):
        cloud.subscriber.seek({"subscription": subscription, "snapshot": names[0]})
    with pytest.raises(exceptions.NotFound):
        cloud.subscriber.delete_snapshot(snapshot=names[0])


@pytest.mark.parametrize("cloud", ["embedded"], indirect=True)
def test_a_snapshot_expires(cloud: Cloud) -> None:
    topic = cloud.topic()
    subscription = cloud.subscription(topic)
    name = f"projects/{cloud.project}/snapshots/snapshot"
    cloud.subscriber.create_snapshot(name=name, subscription=subscription)
    assert cloud.subscriber.get_snapshot(snapshot=name).name == name
    assert list(cloud.publisher.list_topic_snapshots(topic=topic)) == [name]
    past = datetime.now(UTC) - HOUR
    cloud.subscriber.update_snapshot(
        snapshot={"name": name, "expire_time": past}, update_mask={"paths": ["expire_time"]}
    )
    with pytest.raises(exceptions.NotFound):
        cloud.subscriber.get_snapshot(snapshot=name)
    assert list(cloud.publisher.list_topic_snapshots(topic=topic)) == []


@pytest.mark.parametrize("cloud", ["embedded"], indirect=True)
def test_bad_seeks_are_refused(cloud: Cloud) -> None:
    subscription = cloud.subscription(cloud.topic())
    other = cloud.subscription(cloud.topic("other"), "other")
    made = cloud.subscriber.create_snapshot(
        name=f"projects/{cloud.project}/snapshots/snapshot", subscription=subscription
    )
    with pytest.raises(exceptions.InvalidArgument, match="another topic"):
        cloud.subscriber.seek({"subscription": other, "snapshot": made.name})
    with pytest.raises(exceptions.InvalidArgument, match="a time or a snapshot"):
        cloud.subscriber.seek({"subscription": subscription})
    with pytest.raises(exceptions.InvalidArgument, match="snapshots"):
        cloud.subscriber.create_snapshot(name="bad", subscription=subscription)


@pytest.mark.parametrize("kind", [Backlog, OrderedBacklog])
def test_messages_older_than_the_retention_are_dropped(kind: type[Backlog]) -> None:
    class StubConsumer:
        pushes = False

        def wake(self) -> None: ...
        def settled(self, size: int) -> None: ...

    async def run() -> list[int]:
        backlog = kind(Policy(10, retention_s=600), lambda held: False, itertools.count(1))
        for age_s in (601, 590, 0):
            backlog.offer(StoredMessage(age_s, b"", time.time_ns() - age_s * 10**9, "k"))
        taken = [lease.held.message.number for lease in backlog.take(StubConsumer(), 10)]
        backlog.close()
        return taken

    assert asyncio.run(run()) == [590, 0]
