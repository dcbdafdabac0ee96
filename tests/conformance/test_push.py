"""Push delivery: the body, statuses that ack, retries, and switching between push and pull."""

from __future__ import annotations

import base64
from functools import partial

import pytest
from google.api_core import exceptions

from infra.local.ports import free_port
from tests.brokers import Cloud
from tests.service.endpoint import Endpoint
from tests.waiting import ack, nothing, pull, until

FAST = {"minimum_backoff": {"nanos": 50_000_000}, "maximum_backoff": {"nanos": 100_000_000}}


def test_the_push_body_has_the_documented_format(cloud: Cloud, endpoint: Endpoint) -> None:
    topic = cloud.topic()
    subscription = cloud.subscription(topic, push_config={"push_endpoint": endpoint.url + "/entry?a=b"})
    sent = cloud.publisher.publish(topic, b"\x00\xff", color="red").result(10)
    assert until(lambda: endpoint.pushes)
    push = endpoint.pushes[0]
    assert push.path == "/entry?a=b"
    assert push.headers["content-type"] == "application/json"
    assert push.body["subscription"] == subscription
    message = push.body["message"]
    assert base64.b64decode(message["data"]) == b"\x00\xff"
    assert message["attributes"] == {"color": "red"}
    assert message["messageId"] == message["message_id"] == sent
    assert message["publishTime"] == message["publish_time"]
    assert message["publishTime"].endswith("Z")
    assert "deliveryAttempt" not in push.body


def test_the_body_counts_attempts_under_a_dead_letter_policy(cloud: Cloud, endpoint: Endpoint) -> None:
    endpoint.statuses = [500, 500, 200]
    topic, dead = cloud.topic(), cloud.topic("dead")
    cloud.subscription(
        topic,
        push_config={"push_endpoint": endpoint.url},
        dead_letter_policy={"dead_letter_topic": dead},
        retry_policy=FAST,
    )
    cloud.publisher.publish(topic, b"x").result(10)
    for attempt in (1, 2, 3):
        assert until(partial(endpoint.has, attempt))
        assert endpoint.pushes[attempt - 1].body.get("deliveryAttempt") == attempt


def test_the_body_carries_the_ordering_key(cloud: Cloud, endpoint: Endpoint) -> None:
    from google.pubsub_v1 import PublisherClient as Plain

    topic = cloud.topic()
    cloud.subscription(topic, push_config={"push_endpoint": endpoint.url})
    Plain.publish(cloud.publisher, topic=topic, messages=[{"data": b"x", "ordering_key": "k"}])
    assert until(lambda: endpoint.pushes)
    assert endpoint.pushes[0].body["message"].get("orderingKey") == "k"


@pytest.mark.parametrize("statuses", [[102, 200, 201, 204], [202]], ids=["most", "202"])
def test_success_statuses_ack_a_push(cloud: Cloud, endpoint: Endpoint, statuses: list[int]) -> None:
    endpoint.statuses = list(statuses)
    topic = cloud.topic()
    cloud.subscription(topic, push_config={"push_endpoint": endpoint.url}, retry_policy=FAST)
    for number in range(len(statuses)):
        cloud.publisher.publish(topic, b"%d" % number).result(10)
    assert until(lambda: len(endpoint.pushes) == len(statuses))
    assert not until(lambda: len(endpoint.pushes) > len(statuses), 0.4 if cloud.backend == "embedded" else 4)


@pytest.mark.parametrize("statuses", [[203], [301, 302, 400, 404, 429, 500, 503]], ids=["203", "errors"])
def test_other_statuses_nack_a_push(cloud: Cloud, endpoint: Endpoint, statuses: list[int]) -> None:
    endpoint.statuses = [*statuses, 200]
    topic = cloud.topic()
    cloud.subscription(topic, push_config={"push_endpoint": endpoint.url}, retry_policy=FAST)
    for number in range(len(statuses)):
        cloud.publisher.publish(topic, b"%d" % number).result(10)
    assert until(lambda: len(endpoint.pushes) == 2 * len(statuses))


@pytest.mark.timing
def test_pushes_are_retried_with_backoff(cloud: Cloud, endpoint: Endpoint) -> None:
    endpoint.statuses = [500, 500, 500, 200]
    topic = cloud.topic()
    backoff = {"minimum_backoff": {"nanos": 200_000_000}, "maximum_backoff": {"nanos": 500_000_000}}
    cloud.subscription(topic, push_config={"push_endpoint": endpoint.url}, retry_policy=backoff)
    cloud.publisher.publish(topic, b"x").result(10)
    for number, wanted_s in enumerate((0.2, 0.4, 0.5), 1):
        assert until(partial(endpoint.has, number + 1))
        gap_s = endpoint.pushes[number].at - endpoint.pushes[number - 1].at
        assert wanted_s - 0.01 < gap_s < wanted_s + 0.4


def test_a_push_to_an_endpoint_that_is_down_is_retried(cloud: Cloud) -> None:
    topic, port = cloud.topic(), free_port()
    url = f"http://127.0.0.1:{port}"
    cloud.subscription(topic, "pushed", push_config={"push_endpoint": url}, retry_policy=FAST)
    cloud.publisher.publish(topic, b"x").result(10)
    assert not until(lambda: False, 0.3)
    with Endpoint() as endpoint:
        name = f"projects/{cloud.project}/subscriptions/pushed"
        cloud.subscriber.modify_push_config(subscription=name, push_config={"push_endpoint": endpoint.url})
        assert until(lambda: endpoint.pushes)


def test_concurrent_pushes_share_few_connections(cloud: Cloud, endpoint: Endpoint) -> None:
    endpoint.delay_s = 0.1
    topic = cloud.topic()
    cloud.subscription(topic, push_config={"push_endpoint": endpoint.url})
    futures = [cloud.publisher.publish(topic, b"%d" % number) for number in range(80)]
    for future in futures:
        future.result(10)
    assert until(lambda: len(endpoint.pushes) == 80)
    assert len({push.body["message"]["messageId"] for push in endpoint.pushes}) == 80
    assert 5 < endpoint.most_at_once <= 101
    assert endpoint.connections <= 101, "connections are kept open"


def test_a_backlog_survives_the_switch(cloud: Cloud, endpoint: Endpoint) -> None:
    topic = cloud.topic()
    subscription = cloud.subscription(topic)
    cloud.publisher.publish(topic, b"first").result(10)
    cloud.subscriber.modify_push_config(subscription=subscription, push_config={"push_endpoint": endpoint.url})
    assert until(lambda: endpoint.pushes)
    cloud.subscriber.modify_push_config(subscription=subscription, push_config={})
    cloud.publisher.publish(topic, b"second").result(10)
    received = pull(cloud, subscription)
    assert [each.message.data for each in received] == [b"second"]
    ack(cloud, subscription, received)
    assert len(endpoint.pushes) == 1


def test_a_push_subscription_cannot_be_pulled(cloud: Cloud, endpoint: Endpoint) -> None:
    subscription = cloud.subscription(cloud.topic(), push_config={"push_endpoint": endpoint.url})
    with pytest.raises(exceptions.FailedPrecondition):
        cloud.subscriber.pull(subscription=subscription, max_messages=1, timeout=2)


def test_a_deleted_subscription_is_not_pushed(cloud: Cloud, endpoint: Endpoint) -> None:
    endpoint.statuses = [500]
    topic = cloud.topic()
    subscription = cloud.subscription(topic, push_config={"push_endpoint": endpoint.url}, retry_policy=FAST)
    cloud.publisher.publish(topic, b"x").result(10)
    assert until(lambda: endpoint.pushes)
    cloud.subscriber.delete_subscription(subscription=subscription)
    assert until(lambda: not endpoint.busy)
    count = len(endpoint.pushes)
    assert not until(lambda: len(endpoint.pushes) > count + 1, 0.5)
    assert nothing(cloud, cloud.subscription(topic, "another"), 0.1)
