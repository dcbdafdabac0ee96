"""Unwrapped push: the body is the data of the message, and metadata become headers on request."""

from __future__ import annotations

import pytest

from tests.brokers import Cloud
from tests.service.endpoint import Endpoint
from tests.waiting import until


@pytest.mark.parametrize("write", [True, False], ids=["metadata", "bare"])
def test_an_unwrapped_push(cloud: Cloud, endpoint: Endpoint, write: bool) -> None:
    topic = cloud.topic()
    push = {"push_endpoint": endpoint.url, "no_wrapper": {"write_metadata": write}}
    subscription = cloud.subscription(topic, push_config=push)
    sent = cloud.publisher.publish(topic, b"\x00data", color="red", **{"content-type": "image/png"}).result(10)
    assert until(lambda: endpoint.pushes)
    first = endpoint.pushes[0]
    assert first.raw == b"\x00data"
    named = {name: value for name, value in first.headers.items() if name.startswith("x-goog-pubsub-")}
    if write:
        assert named.pop("x-goog-pubsub-publish-time").endswith("Z")
        assert named == {"x-goog-pubsub-subscription-name": subscription, "x-goog-pubsub-message-id": sent}
        assert (first.headers["color"], first.headers["content-type"]) == ("red", "image/png")
    else:
        assert not named and "color" not in first.headers and first.headers.get("content-type") != "image/png"


def test_an_unwrapped_push_keeps_every_byte(cloud: Cloud, endpoint: Endpoint) -> None:
    topic = cloud.topic()
    cloud.subscription(topic, push_config={"push_endpoint": endpoint.url, "no_wrapper": {}})
    cloud.publisher.publish(topic, bytes(range(256))).result(10)
    assert until(lambda: endpoint.pushes)
    assert endpoint.pushes[0].raw == bytes(range(256))


def test_attributes_cannot_forge_headers(cloud: Cloud, endpoint: Endpoint) -> None:
    topic = cloud.topic()
    cloud.subscription(topic, push_config={"push_endpoint": endpoint.url, "no_wrapper": {"write_metadata": True}})
    bad = {
        "Content-Length": "0",
        "a b": "x",
        "line": "x\r\nforged: yes",
        "x-goog-pubsub-message-id": "0",
    }
    sent = cloud.publisher.publish(topic, b"body", fine="yes", **bad).result(10)
    assert until(lambda: endpoint.pushes)
    push = endpoint.pushes[0]
    assert push.raw == b"body" and push.headers["fine"] == "yes"
    assert push.headers["x-goog-pubsub-message-id"] == sent
    assert not {"a b", "line", "forged"} & set(push.headers)


def test_a_subscription_can_be_changed_to_unwrapped(cloud: Cloud, endpoint: Endpoint) -> None:
    topic = cloud.topic()
    subscription = cloud.subscription(topic, push_config={"push_endpoint": endpoint.url})
    cloud.publisher.publish(topic, b"wrapped").result(10)
    assert until(lambda: endpoint.pushes)
    push = {"push_endpoint": endpoint.url, "no_wrapper": {}}
    cloud.subscriber.modify_push_config(subscription=subscription, push_config=push)
    cloud.publisher.publish(topic, b"bare").result(10)
    assert until(lambda: len(endpoint.pushes) == 2)
    assert endpoint.pushes[0].body["message"] and endpoint.pushes[1].raw == b"bare"
