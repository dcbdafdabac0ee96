"""Ordering: messages of one key come in order and are redelivered from the one that failed; other keys do not wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from google.api_core import exceptions
from google.cloud import pubsub_v1
from google.cloud.pubsub_v1.subscriber.message import Message
from google.pubsub_v1 import PublisherClient as Plain

from tests.brokers import Cloud
from tests.service.endpoint import Endpoint
from tests.waiting import ack, nack, nothing, pull, until

FAST = {"minimum_backoff": {"nanos": 50_000_000}, "maximum_backoff": {"nanos": 100_000_000}}
ours = pytest.mark.parametrize("cloud", ["embedded"], indirect=True)


@pytest.fixture
def orderly(cloud: Cloud) -> Iterator[pubsub_v1.PublisherClient]:
    """A stock publisher that keeps the order."""
    publisher = pubsub_v1.PublisherClient(
        publisher_options=pubsub_v1.types.PublisherOptions(enable_message_ordering=True)
    )
    yield publisher
    publisher.stop()
    publisher.transport.close()


def publish(cloud: Cloud, topic: str, *messages: str) -> None:
    """Publish messages such as `a1`: key a, data a1; `-1` has no key."""
    wanted = [{"data": each.encode(), "ordering_key": each[0].strip("-")} for each in messages]
    Plain.publish(cloud.publisher, topic=topic, messages=wanted)


def data(received: list[object]) -> list[str]:
    """The data of the messages, as text."""
    return [each.message.data.decode() for each in received]  # type: ignore[attr-defined]


def test_a_stream_keeps_the_order_of_each_key(cloud: Cloud, orderly: pubsub_v1.PublisherClient) -> None:
    topic = cloud.topic()
    subscription = cloud.subscription(topic, enable_message_ordering=True)
    seen: dict[str, list[int]] = {"a": [], "b": []}
    done = threading.Event()

    def note(message: Message) -> None:
        seen[message.ordering_key].append(int(message.data))
        message.ack()
        if sum(map(len, seen.values())) == 400:
            done.set()

    stream = cloud.subscriber.subscribe(subscription, note)
    sent = [orderly.publish(topic, b"%d" % number, ordering_key=key) for number in range(200) for key in seen]
    assert len({each.result(10) for each in sent}) == 400
    assert done.wait(20)
    stream.cancel()
    stream.result(10)
    assert seen == {"a": list(range(200)), "b": list(range(200))}


@ours
def test_the_next_batch_of_a_key_waits_for_the_one_before(cloud: Cloud) -> None:
    topic = cloud.topic()
    subscription = cloud.subscription(topic, enable_message_ordering=True)
    publish(cloud, topic, "a1", "a2")
    first = pull(cloud, subscription, 2)
    publish(cloud, topic, "a3", "b1", "-1")
    others = pull(cloud, subscription, 2)
    assert (data(first), data(others)) == (["a1", "a2"], ["b1", "-1"])
    ack(cloud, subscription, first[:1])
    assert nothing(cloud, subscription)
    ack(cloud, subscription, first[1:])
    assert data(pull(cloud, subscription)) == ["a3"]


@ours
def test_a_nack_redelivers_the_key_from_that_message(cloud: Cloud) -> None:
    topic, dead = cloud.topic(), cloud.topic("dead")
    policy = {"dead_letter_topic": dead, "max_delivery_attempts": 5}
    subscription = cloud.subscription(topic, enable_message_ordering=True, dead_letter_policy=policy)
    publish(cloud, topic, "a1", "a2", "a3", "a4")
    one, two, three, four = pull(cloud, subscription, 4)
    ack(cloud, subscription, [four])
    nack(cloud, subscription, [two])
    assert nothing(cloud, subscription), "a1 is still out"
    ack(cloud, subscription, [one, three])
    again = pull(cloud, subscription, 3)
    assert [(each.message.data, each.delivery_attempt) for each in again] == [(b"a2", 2), (b"a3", 1), (b"a4", 1)]
    ack(cloud, subscription, again)
    assert nothing(cloud, subscription)


@ours
def test_an_expired_deadline_redelivers_the_key_from_that_message(cloud: Cloud) -> None:
    topic = cloud.topic()
    subscription = cloud.subscription(topic, enable_message_ordering=True)
    publish(cloud, topic, "a1", "a2", "a3")
    received = pull(cloud, subscription, 3)
    ack(cloud, subscription, received[:1])
    cloud.subscriber.modify_ack_deadline(
        subscription=subscription, ack_ids=[received[1].ack_id], ack_deadline_seconds=1
    )
    assert data(pull(cloud, subscription, 2)) == ["a2", "a3"]


@ours
def test_a_key_waits_while_its_first_message_backs_off(cloud: Cloud) -> None:
    topic = cloud.topic()
    slow = {"minimum_backoff": {"seconds": 3}, "maximum_backoff": {"seconds": 3}}
    subscription = cloud.subscription(topic, enable_message_ordering=True, retry_policy=slow)
    publish(cloud, topic, "a1", "a2", "b1")
    received = pull(cloud, subscription, 3)
    began = time.monotonic()
    nack(cloud, subscription, received[:1])
    ack(cloud, subscription, received[2:])
    publish(cloud, topic, "b2")
    assert data(pull(cloud, subscription, 3)) == ["b2", "a1", "a2"]
    assert time.monotonic() - began > 2.9


@ours
def test_a_dead_letter_unblocks_its_key(cloud: Cloud) -> None:
    topic, dead = cloud.topic(), cloud.topic("dead")
    policy = {"dead_letter_topic": dead, "max_delivery_attempts": 5}
    subscription = cloud.subscription(topic, enable_message_ordering=True, dead_letter_policy=policy)
    dead_letters = cloud.subscription(dead, "dead_letters")
    publish(cloud, topic, "a1", "a2")
    for _ in range(5):
        nack(cloud, subscription, pull(cloud, subscription)[:1])
    assert data(pull(cloud, subscription)) == ["a2"]
    (dead_letter,) = pull(cloud, dead_letters)
    assert (dead_letter.message.data, dead_letter.message.ordering_key) == (b"a1", "a")


@ours
def test_push_sends_one_message_of_a_key_at_a_time(cloud: Cloud, endpoint: Endpoint) -> None:
    endpoint.statuses = [500, 500, 204]
    endpoint.delay_s = 0.01
    topic = cloud.topic()
    push = {"push_endpoint": endpoint.url}
    cloud.subscription(topic, enable_message_ordering=True, push_config=push, retry_policy=FAST)
    publish(cloud, topic, "a1", "a2", "a3")
    assert until(lambda: len(endpoint.pushes) == 5)
    bodies = [push.body["message"]["messageId"] for push in endpoint.pushes]
    assert bodies[0] == bodies[1] == bodies[2]
    assert bodies[2:] == sorted(set(bodies), key=int)
    assert endpoint.most_at_once == 1


@ours
def test_without_the_setting_keys_do_not_wait(cloud: Cloud) -> None:
    topic = cloud.topic()
    subscription = cloud.subscription(topic)
    publish(cloud, topic, "a1", "a2")
    (first,) = pull(cloud, subscription)
    assert data(pull(cloud, subscription)) == ["a2"]
    ack(cloud, subscription, [first])


@ours
def test_a_long_key_is_refused(cloud: Cloud) -> None:
    topic = cloud.topic()
    for key in ("k" * 1025, "é" * 513):
        with pytest.raises(exceptions.InvalidArgument, match="1024 bytes"):
            Plain.publish(cloud.publisher, topic=topic, messages=[{"data": b"x", "ordering_key": key}])
    Plain.publish(cloud.publisher, topic=topic, messages=[{"data": b"x", "ordering_key": "é" * 512}])


@ours
def test_a_stream_gets_the_key_again_from_the_nacked_message(cloud: Cloud) -> None:
    topic = cloud.topic()
    subscription = cloud.subscription(topic, enable_message_ordering=True)
    seen: list[bytes] = []

    def refuse_once(message: Message) -> None:
        seen.append(message.data)
        if message.data == b"a2" and seen.count(b"a2") == 1:
            message.nack()
        else:
            message.ack()

    publish(cloud, topic, "a1", "a2", "a3", "a4")
    stream = cloud.subscriber.subscribe(subscription, refuse_once)
    assert until(lambda: seen.count(b"a2") == 2 and seen[-1] == b"a4")
    stream.cancel()
    stream.result(10)
    assert seen[:2] == [b"a1", b"a2"]
    assert seen[-3:] == [b"a2", b"a3", b"a4"]
    assert nothing(cloud, subscription)
