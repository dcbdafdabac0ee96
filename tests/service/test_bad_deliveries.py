"""Fault plans of Pub/Sub: the planned faults occur, and every message still arrives."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import pubsub_v1

from infra.local.fault_plan import FaultPlan
from infra.local.pubsub.server import PubsubServer

COUNT = 60
TOPIC, SUBSCRIPTION = "projects/p/topics/bad", "projects/p/subscriptions/bad-sub"
Clients = tuple[pubsub_v1.PublisherClient, pubsub_v1.SubscriberClient]


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Callable[[FaultPlan], contextlib.AbstractContextManager[Clients]]:
    @contextlib.contextmanager
    def start(day: FaultPlan) -> Iterator[Clients]:
        with PubsubServer(fault_plan=day) as server:
            monkeypatch.setenv("PUBSUB_EMULATOR_HOST", server.host)
            publisher, subscriber = pubsub_v1.PublisherClient(TOGETHER), pubsub_v1.SubscriberClient()
            publisher.create_topic({"name": TOPIC})
            subscriber.create_subscription({"name": SUBSCRIPTION, "topic": TOPIC, "ack_deadline_seconds": 10})
            yield publisher, subscriber
            publisher.stop()
            publisher.transport.close()
            subscriber.close()

    return start


TOGETHER = pubsub_v1.types.BatchSettings(max_messages=COUNT, max_latency=1)
"""One call publishes all, so that they arrive in their order: the seed fixes the n-th decision."""


def publish(clients: Clients) -> None:
    futures = [clients[0].publish(TOPIC, b"%d" % number) for number in range(COUNT)]
    for future in futures:
        future.result(10)


def pulled(clients: Clients, enough: Callable[[list[int]], bool]) -> list[int]:
    """The messages in the order of their arrival, each acked, until there are enough."""
    seen: list[int] = []
    for _ in range(200):
        response: Any = clients[1].pull(subscription=SUBSCRIPTION, max_messages=100, timeout=10)
        seen += [int(each.message.data) for each in response.received_messages]
        if response.received_messages:
            clients[1].acknowledge(subscription=SUBSCRIPTION, ack_ids=[e.ack_id for e in response.received_messages])
        if enough(seen):
            return seen
    raise AssertionError(f"not enough: {seen}")


def everything(seen: list[int]) -> bool:
    return set(seen) == set(range(COUNT))


def test_messages_are_duplicated_at_the_planned_rate(on: Any) -> None:
    with on(FaultPlan(seed=1, duplicate=1)) as clients:
        publish(clients)
        seen = pulled(clients, lambda seen: len(seen) >= 2 * COUNT)
        assert sorted(seen) == sorted([*range(COUNT), *range(COUNT)])


def test_the_same_seed_gives_the_same_duplicates(on: Any) -> None:
    rows = []
    for seed in (4, 4, 5):
        with on(FaultPlan(seed=seed, duplicate=0.3)) as clients:
            publish(clients)
            last = pulled(clients, lambda seen: bool(seen) and everything(seen))
            rows.append(sorted(last))
    assert rows[0] == rows[1] != rows[2]
    assert COUNT < len(rows[0]) < 2 * COUNT


def test_reordered_and_delayed_messages_all_arrive(on: Any) -> None:
    for day in (FaultPlan(seed=1, reorder=0.5), FaultPlan(seed=1, delay_s=0.3)):
        with on(day) as clients:
            publish(clients)
            seen = pulled(clients, everything)
            assert sorted(seen) == list(range(COUNT))
            assert seen != sorted(seen)


def test_late_deliveries_are_redelivered(on: Any) -> None:
    with on(FaultPlan(seed=1, late=0.3)) as clients:
        publish(clients)
        seen = pulled(clients, lambda seen: everything(seen) and len(seen) > COUNT)
        assert len(seen) < 3 * COUNT


def test_messages_with_lost_acks_are_redelivered_after_the_deadline(on: Any) -> None:
    with on(FaultPlan(seed=1, lose_acks=1)) as clients:
        clients[0].publish(TOPIC, b"0").result(10)
        (first,) = clients[1].pull(subscription=SUBSCRIPTION, max_messages=1, timeout=10).received_messages
        clients[1].acknowledge(subscription=SUBSCRIPTION, ack_ids=[first.ack_id])
        clients[1].modify_ack_deadline(subscription=SUBSCRIPTION, ack_ids=[first.ack_id], ack_deadline_seconds=1)
        (again,) = clients[1].pull(subscription=SUBSCRIPTION, max_messages=1, timeout=10).received_messages
        assert (again.message.message_id, again.ack_id != first.ack_id) == (first.message.message_id, True)


def test_faults_spare_calls_that_create_resources(on: Any) -> None:
    with on(FaultPlan(seed=1, errors=1)) as (publisher, subscriber):
        refusals = (exceptions.ServiceUnavailable, exceptions.ResourceExhausted)
        seen = set()
        for _ in range(20):
            calls: list[Callable[[], Any]] = [
                lambda: subscriber.pull(subscription=SUBSCRIPTION, max_messages=1, retry=None, timeout=30),
                lambda: subscriber.acknowledge(subscription=SUBSCRIPTION, ack_ids=["1"], retry=None, timeout=30),
            ]
            for call in calls:
                with pytest.raises(refusals) as caught:
                    call()
                seen.add(caught.type)
        assert seen == set(refusals)
        assert publisher.get_topic(topic=TOPIC).name == TOPIC


def test_a_streaming_client_recovers_from_errors(on: Any) -> None:
    with on(FaultPlan(seed=3, errors=0.3)) as (publisher, subscriber):
        seen: set[int] = set()
        done = threading.Event()

        def note(message: Any) -> None:
            seen.add(int(message.data))
            message.ack()
            if everything(list(seen)):
                done.set()

        streaming = subscriber.subscribe(SUBSCRIPTION, note)
        for each in [publisher.publish(TOPIC, b"%d" % number) for number in range(COUNT)]:
            each.result(20)
        assert done.wait(20)
        streaming.cancel()
        streaming.result(10)
