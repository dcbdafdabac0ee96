"""Limits of attributes and labels, and fields that cannot be changed: what the cloud refuses must not pass here."""

from __future__ import annotations

from typing import Any

import pytest
from google.api_core import exceptions
from google.pubsub_v1 import PublisherClient

from tests.brokers import Cloud
from tests.waiting import nack, pull

pytestmark = pytest.mark.parametrize("cloud", ["embedded"], indirect=True)

MOST = {f"k{number:03}" + "k" * 252: "v" * 1024 for number in range(100)}


@pytest.mark.parametrize(
    ("attributes", "refusal"),
    [
        (MOST | {"one": "more"}, "101 attributes; at most 100"),
        ({"": "x"}, "0 bytes"),
        ({"k" * 257: "x"}, "257 bytes .* 1 to 256"),
        ({"é" * 129: "x"}, "258 bytes"),
        ({"google-key": "x"}, "google-key starts with goog"),
        ({"k": "é" * 513}, "attribute k has 1026 bytes; at most 1024"),
    ],
)
def test_attributes_over_a_limit_are_refused(cloud: Cloud, attributes: dict[str, str], refusal: str) -> None:
    topic = cloud.topic()
    subscription = cloud.subscription(topic)
    request = {"topic": topic, "messages": [{"data": b"good"}, {"data": b"bad", "attributes": attributes}]}
    with pytest.raises(exceptions.InvalidArgument, match=refusal):
        _publish(cloud, request)
    _publish(cloud, {"topic": topic, "messages": [{"data": b"next"}]})
    assert [each.message.data for each in pull(cloud, subscription)] == [b"next"]


def test_attributes_up_to_the_limits_are_delivered_and_dead_lettered(cloud: Cloud) -> None:
    topic, dead = cloud.topic(), cloud.topic("dead")
    dead_letters = cloud.subscription(dead, "dead-letters")
    subscription = cloud.subscription(topic, dead_letter_policy={"dead_letter_topic": dead, "max_delivery_attempts": 5})
    _publish(cloud, {"topic": topic, "messages": [{"attributes": MOST}]})
    for _ in range(5):
        (received,) = pull(cloud, subscription)
        assert dict(received.message.attributes) == MOST
        nack(cloud, subscription, [received])
    assert len(pull(cloud, dead_letters)[0].message.attributes) == 104


def test_attributes_of_googles_own_clients_are_accepted(cloud: Cloud) -> None:
    topic = cloud.topic()
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    _publish(cloud, {"topic": topic, "messages": [{"data": b"x", "attributes": {"googclient_traceparent": trace}}]})


@pytest.mark.parametrize(
    "labels",
    [
        {"Upper": "x"},
        {"1": "x"},
        {"": "x"},
        {"k" * 64: "x"},
        {"k": "Upper"},
        {"k": "v" * 64},
        {"k": "with space"},
        {f"k{number}": "" for number in range(65)},
    ],
)
def test_labels_outside_their_grammar_are_refused(cloud: Cloud, labels: dict[str, str]) -> None:
    topic = cloud.topic()
    subscription = cloud.subscription(topic)
    snapshot = f"projects/{cloud.project}/snapshots/snapshot"
    mask = {"paths": ["labels"]}
    for call in (
        lambda: cloud.topic("other", labels=labels),
        lambda: cloud.publisher.update_topic({"topic": {"name": topic, "labels": labels}, "update_mask": mask}),
        lambda: cloud.subscription(topic, "other", labels=labels),
        lambda: cloud.subscriber.update_subscription(
            {"subscription": {"name": subscription, "labels": labels}, "update_mask": mask}
        ),
        lambda: cloud.subscriber.create_snapshot({"name": snapshot, "subscription": subscription, "labels": labels}),
    ):
        with pytest.raises(exceptions.InvalidArgument, match="label"):
            call()
    assert not cloud.publisher.get_topic(topic=topic).labels


def test_labels_may_be_international(cloud: Cloud) -> None:
    labels = {"straße-1": "", "日本": "1_2-٣", "k" * 63: "v" * 63}
    assert dict(cloud.publisher.get_topic(topic=cloud.topic(labels=labels)).labels) == labels


@pytest.mark.parametrize(
    ("update", "refusal"),
    [
        ({"name": ""}, "'name' field in the Topic is not mutable"),
        ({"state": 2}, "'state' field in the Topic is not mutable"),
        ({"tags": {"1/a": "b"}}, "'tags' field in the Topic is not mutable"),
        ({"message_storage_policy": {}}, "allowed_persistence_regions is empty"),
        ({"schema_settings": {"schema": "projects/p/schemas/missing", "encoding": 1}}, None),
        ({"message_transforms": [{"disabled": True}]}, r"message_transforms\[0\] has no transform"),
    ],
)
def test_an_update_of_a_topic_that_is_refused_changes_nothing(
    cloud: Cloud, update: dict[str, Any], refusal: str | None
) -> None:
    topic = cloud.topic(labels={"a": "1"})
    before = cloud.publisher.get_topic(topic=topic)
    (path,) = update
    wanted = {"labels": {"a": "2"}, **update, "name": topic}
    with pytest.raises(exceptions.InvalidArgument if refusal else exceptions.NotFound, match=refusal):
        cloud.publisher.update_topic({"topic": wanted, "update_mask": {"paths": ["labels", path]}})
    assert cloud.publisher.get_topic(topic=topic) == before


def test_an_update_of_a_topic_clears_what_the_mask_names_and_the_topic_lacks(cloud: Cloud) -> None:
    topic = cloud.topic(
        message_storage_policy={"allowed_persistence_regions": ["europe-west1"]},
        message_retention_duration={"seconds": 600},
        tags={"1/environment": "test"},
    )
    kept = cloud.publisher.get_topic(topic=topic)
    assert kept.message_storage_policy.allowed_persistence_regions == ["europe-west1"] and not kept.tags
    paths = ["message_storage_policy", "message_retention_duration"]
    changed = cloud.publisher.update_topic({"topic": {"name": topic}, "update_mask": {"paths": paths}})
    assert "message_storage_policy" not in changed and "message_retention_duration" not in changed


def test_disabled_transforms_are_kept_and_cannot_be_enabled(cloud: Cloud) -> None:
    script = {"javascript_udf": {"function_name": "f", "code": "function f(m, d) { return m; }"}, "disabled": True}
    topic = cloud.topic(message_transforms=[script])
    subscription = cloud.subscription(topic, message_transforms=[script])
    assert cloud.publisher.get_topic(topic=topic).message_transforms[0].javascript_udf.function_name == "f"
    assert cloud.subscriber.get_subscription(subscription=subscription).message_transforms[0].disabled
    enabled = [{**script, "disabled": False}]
    mask = {"paths": ["message_transforms"]}
    with pytest.raises(exceptions.MethodNotImplemented, match=r"message_transforms\[0\]\.javascript_udf \(f\)"):
        cloud.publisher.update_topic({"topic": {"name": topic, "message_transforms": enabled}, "update_mask": mask})
    with pytest.raises(exceptions.MethodNotImplemented, match=r"message_transforms\[0\]\.javascript_udf \(f\)"):
        cloud.subscriber.update_subscription(
            {"subscription": {"name": subscription, "message_transforms": enabled}, "update_mask": mask}
        )


def _publish(cloud: Cloud, request: dict[str, Any]) -> None:
    PublisherClient.publish(cloud.publisher, request)
