"""Subscriptions: defaults, updates and refusals as in the cloud."""

from __future__ import annotations

from typing import Any

import pytest
from google.api_core import exceptions

from tests.brokers import Cloud


def test_a_new_subscription_has_the_documented_defaults(cloud: Cloud) -> None:
    subscription = cloud.subscriber.get_subscription(subscription=cloud.subscription(cloud.topic()))
    assert subscription.ack_deadline_seconds == 10
    assert subscription.message_retention_duration.total_seconds() == 7 * 86_400
    assert "push_config" in subscription and not subscription.push_config.push_endpoint


def test_expires_by_default(cloud: Cloud) -> None:
    subscription = cloud.subscriber.get_subscription(subscription=cloud.subscription(cloud.topic()))
    assert subscription.expiration_policy.ttl.total_seconds() == 31 * 86_400


def test_policies_are_completed(cloud: Cloud) -> None:
    topic, dead = cloud.topic(), cloud.topic("dead")
    name = cloud.subscription(
        topic, retry_policy={"minimum_backoff": {"seconds": 2}}, dead_letter_policy={"dead_letter_topic": dead}
    )
    subscription = cloud.subscriber.get_subscription(subscription=name)
    assert subscription.retry_policy.minimum_backoff.total_seconds() == 2
    assert subscription.retry_policy.maximum_backoff.total_seconds() == 600
    assert subscription.dead_letter_policy.max_delivery_attempts == 5


def test_listed_by_project_and_by_topic(cloud: Cloud) -> None:
    one, other = cloud.topic("one"), cloud.topic("other")
    names = [cloud.subscription(one, "aaa"), cloud.subscription(one, "bbb"), cloud.subscription(other, "ccc")]
    listed = cloud.subscriber.list_subscriptions(project=f"projects/{cloud.project}")
    assert [subscription.name for subscription in listed] == names
    assert list(cloud.publisher.list_topic_subscriptions(topic=one)) == names[:2]
    cloud.subscriber.delete_subscription(subscription=names[0])
    assert list(cloud.publisher.list_topic_subscriptions(topic=one)) == names[1:2]


def test_a_second_creation_is_refused(cloud: Cloud) -> None:
    topic = cloud.topic()
    cloud.subscription(topic)
    with pytest.raises(exceptions.AlreadyExists):
        cloud.subscription(topic)


def test_a_missing_subscription_is_not_found(cloud: Cloud) -> None:
    missing = f"projects/{cloud.project}/subscriptions/missing"
    for call in (
        lambda: cloud.subscription(f"projects/{cloud.project}/topics/missing"),
        lambda: cloud.subscriber.get_subscription(subscription=missing),
        lambda: cloud.subscriber.delete_subscription(subscription=missing),
        lambda: cloud.subscriber.pull(subscription=missing, max_messages=1),
        lambda: cloud.subscriber.acknowledge(subscription=missing, ack_ids=["1"]),
        lambda: cloud.subscriber.subscribe(missing, lambda message: None).result(10),
    ):
        with pytest.raises(exceptions.NotFound):
            call()


def test_a_missing_resource_is_named(cloud: Cloud) -> None:
    with pytest.raises(exceptions.NotFound, match=r"Resource not found \(resource=missing\)"):
        cloud.subscriber.get_subscription(subscription=f"projects/{cloud.project}/subscriptions/missing")


def test_a_missing_dead_letter_topic_is_not_found(cloud: Cloud) -> None:
    missing = f"projects/{cloud.project}/topics/missing"
    with pytest.raises(exceptions.NotFound):
        cloud.subscription(cloud.topic(), dead_letter_policy={"dead_letter_topic": missing})


@pytest.mark.parametrize("attempts", [4, 101])
def test_bad_attempts_are_refused(cloud: Cloud, attempts: int) -> None:
    topic = cloud.topic()
    with pytest.raises(exceptions.InvalidArgument, match="max_delivery_attempts"):
        cloud.subscription(topic, dead_letter_policy={"dead_letter_topic": topic, "max_delivery_attempts": attempts})


def test_a_short_ack_deadline_is_refused(cloud: Cloud) -> None:
    with pytest.raises(exceptions.InvalidArgument, match="from 10 to 600"):
        cloud.subscription(cloud.topic(), ack_deadline_seconds=9)


@pytest.mark.parametrize(
    "settings",
    [
        {"ack_deadline_seconds": 601},
        {"message_retention_duration": {"seconds": 599}},
        {"retry_policy": {"minimum_backoff": {"seconds": 601}}},
        {"push_config": {"push_endpoint": "ftp://nowhere"}},
    ],
)
def test_settings_out_of_range_are_refused(cloud: Cloud, settings: dict[str, Any]) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        cloud.subscription(cloud.topic(), **settings)


def test_an_update_changes_the_fields_of_its_mask(cloud: Cloud) -> None:
    subscription = cloud.subscription(cloud.topic(), labels={"a": "1"}, ack_deadline_seconds=20)
    update = {"name": subscription, "ack_deadline_seconds": 33, "labels": {"b": "2"}}
    cloud.subscriber.update_subscription(subscription=update, update_mask={"paths": ["ack_deadline_seconds"]})
    changed = cloud.subscriber.get_subscription(subscription=subscription)
    assert (changed.ack_deadline_seconds, dict(changed.labels)) == (33, {"a": "1"})


def test_policies_are_changed_and_removed(cloud: Cloud) -> None:
    topic, dead = cloud.topic(), cloud.topic("dead")
    name = cloud.subscription(topic, dead_letter_policy={"dead_letter_topic": dead, "max_delivery_attempts": 7})
    mask = {"paths": ["dead_letter_policy", "retry_policy"]}
    retry = {"minimum_backoff": {"seconds": 1}, "maximum_backoff": {"seconds": 3}}
    changed = cloud.subscriber.update_subscription(subscription={"name": name, "retry_policy": retry}, update_mask=mask)
    assert "dead_letter_policy" not in changed
    assert changed.retry_policy.maximum_backoff.total_seconds() == 3


@pytest.mark.parametrize("paths", [[], ["bogus"], ["filter"], ["topic"], ["labels", "state"]])
def test_a_bad_mask_is_refused(cloud: Cloud, paths: list[str]) -> None:
    subscription = cloud.subscription(cloud.topic())
    with pytest.raises(exceptions.InvalidArgument):
        cloud.subscriber.update_subscription(
            subscription={"name": subscription, "filter": "attributes:a"}, update_mask={"paths": paths}
        )


@pytest.mark.parametrize(
    "call",
    [
        {"pull": {"max_messages": 0}},
        {"acknowledge": {"ack_ids": ["garbage"]}},
        {"acknowledge": {"ack_ids": []}},
        {"modify_ack_deadline": {"ack_ids": ["garbage"], "ack_deadline_seconds": 5}},
        {"modify_ack_deadline": {"ack_ids": ["1"], "ack_deadline_seconds": 601}},
    ],
    ids=str,
)
def test_bad_arguments_are_refused(cloud: Cloud, call: dict[str, dict[str, Any]]) -> None:
    subscription = cloud.subscription(cloud.topic())
    ((method, arguments),) = call.items()
    with pytest.raises(exceptions.InvalidArgument):
        getattr(cloud.subscriber, method)({"subscription": subscription, **arguments})


def test_a_detached_subscription_is_cut_off(cloud: Cloud) -> None:
    topic = cloud.topic()
    subscription = cloud.subscription(topic)
    cloud.publisher.publish(topic, b"dropped").result(10)
    future = cloud.subscriber.subscribe(cloud.subscription(topic, "streamed"), lambda message: None)
    for name in (subscription, f"projects/{cloud.project}/subscriptions/streamed"):
        cloud.publisher.detach_subscription({"subscription": name})
        assert cloud.subscriber.get_subscription(subscription=name).detached
    assert not list(cloud.publisher.list_topic_subscriptions(topic=topic))
    with pytest.raises(exceptions.FailedPrecondition, match="is detached"):
        cloud.subscriber.pull(subscription=subscription, max_messages=1, timeout=5)
    with pytest.raises(exceptions.FailedPrecondition, match="is detached"):
        future.result(timeout=10)
    cloud.subscriber.delete_subscription(subscription=subscription)


def test_an_invalid_name_is_an_invalid_argument(cloud: Cloud) -> None:
    with pytest.raises(exceptions.InvalidArgument, match="Invalid \\[subscriptions\\] name"):
        cloud.subscriber.get_subscription(subscription=f"projects/{cloud.project}/subscriptions/1")
    with pytest.raises(exceptions.InvalidArgument, match="Invalid \\[topics\\] name"):
        cloud.publisher.get_topic(topic=f"projects/{cloud.project}/topics/1")
