"""The worker's streaming pull, on both servers: delivery, leases, nacks, flow control and shutdown."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from google.api_core.exceptions import NotFound
from google.pubsub_v1 import SubscriberClient

from functions.gcp.lease_manager import GATHER_S
from functions.gcp.streaming_pull import PulledDelivery, PullStream
from functions.runtime.supervised import Supervisor
from infra.local.ports import free_port
from infra.local.pubsub.server import PubsubServer
from tests.brokers import Cloud
from tests.service.persistent_server import clients
from tests.waiting import nothing, pull, until

LEASE_S = 10
"""The shortest that a stream may ask for."""


@contextmanager
def stream(
    cloud: Cloud,
    subscription: str,
    most: int = 100,
    client: SubscriberClient | None = None,
    most_bytes: int = 1_000_000,
) -> Iterator[tuple[PullStream, list[PulledDelivery]]]:
    """A stream and the deliveries that it has passed on."""
    came: list[PulledDelivery] = []
    opened = PullStream(client or cloud.subscriber, subscription, came.append, most, most_bytes, Supervisor(), LEASE_S)
    try:
        yield opened, came
    finally:
        opened.stop(10)
        opened.close(10)


def bodies(came: list[PulledDelivery]) -> set[bytes]:
    return {each.envelope.payload for each in came}


def test_acked_messages_are_gone_and_nacked_ones_are_redelivered(cloud: Cloud) -> None:
    topic = cloud.topic()
    subscription = cloud.subscription(topic)
    with stream(cloud, subscription) as (_, came):
        for body in (b"good", b"bad"):
            cloud.publisher.publish(topic, body, request_id="r").result(10)
        assert until(lambda: bodies(came) == {b"good", b"bad"})
        good, bad = sorted(came, key=lambda each: each.envelope.payload, reverse=True)
        assert good.envelope.attributes == {"request_id": "r"} and good.envelope.id != bad.envelope.id
        assert good.envelope.published_at and abs(good.envelope.published_at.timestamp() - time.time()) < 60
        came.clear()
        good.ack()
        bad.nack()
        assert until(lambda: bodies(came) == {b"bad"})
        came.pop().ack()
    assert nothing(cloud, subscription)


def test_leased_messages_are_not_redelivered(cloud: Cloud) -> None:
    topic = cloud.topic()
    subscription = cloud.subscription(topic, ack_deadline_seconds=10)
    with stream(cloud, subscription) as (_, came):
        cloud.publisher.publish(topic, b"x").result(10)
        assert until(lambda: came)
        assert not until(lambda: len(came) > 1, LEASE_S + 4)
        came[0].ack()
    assert nothing(cloud, subscription)


def test_no_messages_arrive_at_the_limit_of_flow_control(cloud: Cloud) -> None:
    topic, most, count = cloud.topic(), 2, 8
    subscription = cloud.subscription(topic)
    with stream(cloud, subscription, most) as (_, came):
        for number in range(count):
            cloud.publisher.publish(topic, b"%d" % number).result(10)
            if number < most:  # one by one: a response may bring more than flow control allows
                assert until(partial(lambda number: len(came) > number, number))
        assert not until(lambda: len(came) > most, 0.5)
        for done in range(count):
            assert until(partial(lambda done: len(came) > done, done))
            came[done].ack()
        assert len(bodies(came)) == count


def test_after_a_stop_received_messages_can_still_be_acked(cloud: Cloud) -> None:
    topic = cloud.topic()
    subscription = cloud.subscription(topic, ack_deadline_seconds=10)
    with stream(cloud, subscription) as (opened, came):
        cloud.publisher.publish(topic, b"early").result(10)
        assert until(lambda: came)
        opened.stop(10)
        assert opened.ended.result(10) is None
        cloud.publisher.publish(topic, b"late").result(10)
        came[0].ack()
        assert [each.message.data for each in pull(cloud, subscription)] == [b"late"]
        assert bodies(came) == {b"early"}
    assert nothing(cloud, subscription, 10 * GATHER_S)


def test_a_stream_of_a_missing_subscription_ends(cloud: Cloud) -> None:
    with stream(cloud, f"projects/{cloud.project}/subscriptions/absent") as (opened, _):
        assert isinstance(opened.ended.exception(10), NotFound)


def test_a_stream_survives_a_restart_of_its_broker(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    with PubsubServer(port, data_dir=tmp_path) as server, clients(server.host) as cloud:
        topic = cloud.topic()
        subscription = cloud.subscription(topic)
    with (
        PubsubServer(port, data_dir=tmp_path) as server,
        clients(server.host) as cloud,
        stream(cloud, subscription) as (opened, came),
    ):
        cloud.publisher.publish(topic, b"first").result(10)
        assert until(lambda: bodies(came) == {b"first"})
        server.stop()
        with PubsubServer(port, data_dir=tmp_path):
            cloud.publisher.publish(topic, b"second").result(30)
            assert until(lambda: b"second" in bodies(came), 30)
        assert not opened.ended.done()
    [said] = [record for record in caplog.records if record.getMessage().startswith("the pull stream is opened again")]
    assert said.levelname == "WARNING" and vars(said)["subscription"] == subscription
