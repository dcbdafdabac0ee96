"""Dead letters: after the maximum of attempts a message is forwarded, with attributes that name its source."""

from __future__ import annotations

from typing import Any

from tests.brokers import Cloud
from tests.service.endpoint import Endpoint
from tests.waiting import ack, nack, nothing, pull, until


def _with_dead_letters(cloud: Cloud, attempts: int = 5, **settings: Any) -> tuple[str, str, str]:
    """A topic, its subscription with a dead-letter policy, and the subscription of the dead letters."""
    topic, dead = cloud.topic(), cloud.topic("dead")
    dead_letters = cloud.subscription(dead, "dead-sub")
    policy = {"dead_letter_topic": dead, "max_delivery_attempts": attempts}
    return topic, cloud.subscription(topic, dead_letter_policy=policy, **settings), dead_letters


def test_a_message_nacked_too_often_is_dead_lettered(cloud: Cloud) -> None:
    topic, subscription, dead_letters = _with_dead_letters(cloud)
    sent = cloud.publisher.publish(topic, b"poison", color="red").result(10)
    attempts = []
    for _ in range(5):
        (received,) = pull(cloud, subscription)
        attempts.append(received.delivery_attempt)
        nack(cloud, subscription, [received])
    assert attempts == [1, 2, 3, 4, 5]
    assert nothing(cloud, subscription)  # first: Google's emulator forwards only during a pull
    (dead_letter,) = pull(cloud, dead_letters)
    assert dead_letter.message.data == b"poison"
    attributes = dict(dead_letter.message.attributes)
    assert attributes.pop("CloudPubSubDeadLetterSourceTopicPublishTime").startswith("20")
    assert attributes == {
        "color": "red",
        "CloudPubSubDeadLetterSourceSubscription": "subscription",
        "CloudPubSubDeadLetterSourceSubscriptionProject": cloud.project,
        "CloudPubSubDeadLetterSourceDeliveryCount": "5",
    }
    assert dead_letter.message.message_id != sent


def test_an_ack_at_the_last_attempt_prevents_a_dead_letter(cloud: Cloud) -> None:
    topic, subscription, dead_letters = _with_dead_letters(cloud)
    cloud.publisher.publish(topic, b"lucky").result(10)
    for _ in range(4):
        nack(cloud, subscription, pull(cloud, subscription))
    ack(cloud, subscription, pull(cloud, subscription))
    assert nothing(cloud, dead_letters)


def test_expired_deadlines_count_as_attempts(cloud: Cloud) -> None:
    topic, subscription, dead_letters = _with_dead_letters(cloud)
    cloud.publisher.publish(topic, b"slow").result(10)
    for _ in range(4):
        nack(cloud, subscription, pull(cloud, subscription))
    (received,) = pull(cloud, subscription)
    cloud.subscriber.modify_ack_deadline(subscription=subscription, ack_ids=[received.ack_id], ack_deadline_seconds=1)
    assert nothing(cloud, subscription, 1.5)
    assert [each.message.data for each in pull(cloud, dead_letters)] == [b"slow"]


def test_a_message_pushed_too_often_is_dead_lettered(cloud: Cloud, endpoint: Endpoint) -> None:
    endpoint.statuses = [503]
    topic, _, dead_letters = _with_dead_letters(cloud, push_config={"push_endpoint": endpoint.url})
    cloud.publisher.publish(topic, b"poison").result(10)
    assert [each.message.data for each in pull(cloud, dead_letters, timeout_s=15)] == [b"poison"]
    assert len(endpoint.pushes) == 5


def test_a_deleted_dead_letter_topic_loses_no_message(cloud: Cloud) -> None:
    topic, subscription, _ = _with_dead_letters(cloud)
    cloud.publisher.delete_topic(topic=f"projects/{cloud.project}/topics/dead")
    cloud.publisher.publish(topic, b"poison").result(10)
    for _ in range(7):
        nack(cloud, subscription, pull(cloud, subscription))
    assert [each.message.data for each in pull(cloud, subscription)] == [b"poison"]


def test_dead_letters_are_pushed_to_a_push_subscription(cloud: Cloud, endpoint: Endpoint) -> None:
    topic, subscription, _ = _with_dead_letters(cloud)
    dead = f"projects/{cloud.project}/topics/dead"
    cloud.subscription(dead, "announce", push_config={"push_endpoint": endpoint.url + "/dead"})
    cloud.publisher.publish(topic, b"poison").result(10)
    for _ in range(5):
        nack(cloud, subscription, pull(cloud, subscription))
    assert nothing(cloud, subscription)
    assert until(lambda: endpoint.pushes)
    assert endpoint.pushes[0].path == "/dead"
    assert endpoint.pushes[0].body["message"]["attributes"]["CloudPubSubDeadLetterSourceDeliveryCount"] == "5"
