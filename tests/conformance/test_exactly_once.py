"""Exactly-once delivery: acks are confirmed, and a late ack is an error."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.api_core import exceptions
from google.cloud.pubsub_v1.subscriber.exceptions import AcknowledgeError, AcknowledgeStatus
from google.cloud.pubsub_v1.subscriber.message import Message
from google.pubsub_v1 import SubscriberClient, types
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport
from google.rpc import error_details_pb2

from tests.brokers import Cloud
from tests.waiting import ack, nack, nothing, pull, until

ours = pytest.mark.parametrize("cloud", ["embedded"], indirect=True)


def _subscription(cloud: Cloud, **settings: Any) -> tuple[str, str]:
    topic = cloud.topic()
    return topic, cloud.subscription(topic, enable_exactly_once_delivery=True, **settings)


@ours
def test_a_stock_client_gets_a_confirmed_ack(cloud: Cloud) -> None:
    topic, subscription = _subscription(cloud)
    answers: queue.Queue[object] = queue.Queue()
    stream = cloud.subscriber.subscribe(
        subscription, lambda message: answers.put(message.ack_with_response().result(10))
    )
    for number in range(20):
        cloud.publisher.publish(topic, b"%d" % number)
    assert [answers.get(timeout=10) for _ in range(20)] == [AcknowledgeStatus.SUCCESS] * 20
    stream.cancel()
    stream.result(10)
    assert nothing(cloud, subscription)


@ours
def test_a_stock_client_gets_an_error_for_a_late_ack(cloud: Cloud) -> None:
    topic, subscription = _subscription(cloud)
    held: list[Message] = []
    stream = cloud.subscriber.subscribe(subscription, held.append)
    cloud.publisher.publish(topic, b"x").result(10)
    assert until(lambda: held)
    cloud.subscriber.modify_ack_deadline(subscription=subscription, ack_ids=[held[0].ack_id], ack_deadline_seconds=0)
    assert until(lambda: len(held) == 2)
    assert held[0].message_id == held[1].message_id
    assert held[0].ack_id != held[1].ack_id
    with pytest.raises(AcknowledgeError) as late:
        held[0].ack_with_response().result(10)
    assert late.value.error_code == AcknowledgeStatus.INVALID_ACK_ID
    with pytest.raises(AcknowledgeError):
        held[0].nack_with_response().result(10)
    assert held[1].ack_with_response().result(10) == AcknowledgeStatus.SUCCESS
    stream.cancel()
    stream.result(10)
    assert nothing(cloud, subscription)


@ours
@pytest.mark.parametrize("method", ["acknowledge", "modify_ack_deadline", "nack"])
def test_stale_ack_ids_are_named_and_the_others_take_effect(cloud: Cloud, method: str) -> None:
    topic, subscription = _subscription(cloud)
    for number in range(2):
        cloud.publisher.publish(topic, b"%d" % number).result(10)
    gone, good = pull(cloud, subscription, 2)
    ack(cloud, subscription, [gone])
    request: dict[str, Any] = {"subscription": subscription, "ack_ids": [gone.ack_id, good.ack_id, "garbage"]}
    if method != "acknowledge":
        request["ack_deadline_seconds"] = 0 if method == "nack" else 60
    with pytest.raises(exceptions.InvalidArgument, match="2 acknowledgement ids") as refused:
        getattr(cloud.subscriber, "acknowledge" if method == "acknowledge" else "modify_ack_deadline")(request)
    (info,) = refused.value.details
    assert isinstance(info, error_details_pb2.ErrorInfo)
    assert dict(info.metadata) == dict.fromkeys([gone.ack_id, "garbage"], "PERMANENT_FAILURE_INVALID_ACK_ID")
    if method == "nack":
        assert pull(cloud, subscription)[0].message.message_id == good.message.message_id
    else:
        assert nothing(cloud, subscription)


@ours
@pytest.mark.parametrize(("method", "length"), [("acknowledge", 16), ("modify_ack_deadline", 16), ("acknowledge", 400)])
def test_more_stale_ack_ids_than_an_error_can_name_are_named_by_several(cloud: Cloud, method: str, length: int) -> None:
    """No id may be taken for acked because an error does not name it."""
    topic, subscription = _subscription(cloud)
    cloud.publisher.publish(topic, b"x").result(10)
    (good,) = pull(cloud, subscription)
    stale = [f"{number:0{length}}" for number in range(10**15, 10**15 + 200)]
    request: dict[str, Any] = {"subscription": subscription, "ack_ids": [*stale[:100], good.ack_id, *stale[100:]]}
    if method != "acknowledge":
        request["ack_deadline_seconds"] = 0
    named: list[str] = []
    code = grpc.StatusCode.ABORTED
    while code == grpc.StatusCode.ABORTED:
        with pytest.raises(exceptions.GoogleAPICallError) as refused:
            getattr(cloud.subscriber, method)(request)
        (info,) = refused.value.details
        assert set(info.metadata.values()) == {"PERMANENT_FAILURE_INVALID_ACK_ID"}
        named += info.metadata
        request["ack_ids"] = [ack_id for ack_id in request["ack_ids"] if ack_id not in info.metadata]
        code = refused.value.grpc_status_code
    assert (code, request["ack_ids"]) == (grpc.StatusCode.INVALID_ARGUMENT, [good.ack_id])
    assert sorted(named) == stale
    with pytest.raises(exceptions.InvalidArgument):  # the last call processed it
        ack(cloud, subscription, [good])


@ours
def test_a_client_that_accepts_large_headers_gets_every_stale_ack_id_in_one_error(cloud: Cloud) -> None:
    """As in the cloud. Google's Java client takes an id for acked that an error does not name."""
    topic, subscription = _subscription(cloud)
    cloud.publisher.publish(topic, b"x").result(10)
    (good,) = pull(cloud, subscription)
    stale = [str(10**15 + number) for number in range(2500)]
    with grpc.insecure_channel(cloud.host, options=[("grpc.max_metadata_size", 4 << 20)]) as channel:
        subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
        with pytest.raises(exceptions.InvalidArgument) as refused:
            subscriber.acknowledge(subscription=subscription, ack_ids=[*stale, good.ack_id])
    (info,) = refused.value.details
    assert sorted(info.metadata) == stale
    with pytest.raises(exceptions.InvalidArgument):  # that call acked it
        ack(cloud, subscription, [good])


@ours
def test_a_stock_client_learns_of_every_stale_ack_id(cloud: Cloud) -> None:
    topic, subscription = _subscription(cloud)
    settled: queue.Queue[BaseException | None] = queue.Queue()
    held: list[Message] = []
    stream = cloud.subscriber.subscribe(subscription, held.append)
    messages = [types.PubsubMessage(data=b"x")] * 150
    cloud.publisher.transport.publish(types.PublishRequest(topic=topic, messages=messages))
    assert until(lambda: len(held) == 150)
    ack_ids = [each.ack_id for each in held]
    for part in (ack_ids[:75], ack_ids[75:]):
        cloud.subscriber.modify_ack_deadline(subscription=subscription, ack_ids=part, ack_deadline_seconds=0)
    for each in held[:150]:
        each.ack_with_response().add_done_callback(lambda future: settled.put(future.exception(0)))
    errors = [settled.get(timeout=20) for _ in range(150)]
    stream.cancel()
    stream.result(10)
    assert all(isinstance(each, AcknowledgeError) for each in errors)
    assert {getattr(each, "error_code", each) for each in errors} == {AcknowledgeStatus.INVALID_ACK_ID}


@ours
def test_an_expired_deadline_makes_the_ack_id_stale(cloud: Cloud) -> None:
    topic, subscription = _subscription(cloud)
    cloud.publisher.publish(topic, b"x").result(10)
    (received,) = pull(cloud, subscription)
    cloud.subscriber.modify_ack_deadline(subscription=subscription, ack_ids=[received.ack_id], ack_deadline_seconds=1)
    (again,) = pull(cloud, subscription)
    with pytest.raises(exceptions.InvalidArgument):
        ack(cloud, subscription, [received])
    ack(cloud, subscription, [again])


@ours
def test_a_stream_confirms_acks_and_deadlines(cloud: Cloud) -> None:
    topic, subscription = _subscription(cloud, enable_message_ordering=True)
    for number in range(2):
        cloud.publisher.publish(topic, b"%d" % number).result(10)
    first, second = (each.ack_id for each in pull(cloud, subscription, 2))
    requests: queue.Queue[Any] = queue.Queue()

    def sent() -> Iterator[Any]:
        yield types.StreamingPullRequest(subscription=subscription, stream_ack_deadline_seconds=10)
        yield types.StreamingPullRequest(ack_ids=[first, "gone"])
        yield types.StreamingPullRequest(modify_deadline_ack_ids=[second, first], modify_deadline_seconds=[60, 60])
        requests.get()

    acked, moved = types.StreamingPullResponse().acknowledge_confirmation, None
    with grpc.insecure_channel(cloud.host) as channel:
        pulling = channel.stream_stream(
            "/google.pubsub.v1.Subscriber/StreamingPull",
            request_serializer=types.StreamingPullRequest.serialize,
            response_deserializer=types.StreamingPullResponse.deserialize,
        )(sent(), timeout=10)
        for response in pulling:
            properties = response.subscription_properties
            assert properties.exactly_once_delivery_enabled and properties.message_ordering_enabled
            if response.acknowledge_confirmation:
                acked = response.acknowledge_confirmation
            if response.modify_ack_deadline_confirmation:
                moved = response.modify_ack_deadline_confirmation
                break
        requests.put(None)
        pulling.cancel()
    assert (list(acked.ack_ids), list(acked.invalid_ack_ids)) == ([first], ["gone"])
    assert moved and (list(moved.ack_ids), list(moved.invalid_ack_ids)) == ([second], [first])


@ours
def test_with_ordering_acked_messages_stay_acked(cloud: Cloud) -> None:
    topic, subscription = _subscription(cloud, enable_message_ordering=True)
    wanted = [types.PubsubMessage(data=b"%d" % number, ordering_key="k") for number in range(3)]
    cloud.publisher.transport.publish(types.PublishRequest(topic=topic, messages=wanted))
    received = pull(cloud, subscription, 3)
    ack(cloud, subscription, received[1:2])
    nack(cloud, subscription, received[:1])
    assert [each.message.data for each in pull(cloud, subscription, 3, 0.5)] == [b"0", b"2"]


@ours
def test_push_with_exactly_once_delivery_is_refused(cloud: Cloud) -> None:
    push = {"push_endpoint": "http://127.0.0.1:1"}
    _, subscription = _subscription(cloud)
    with pytest.raises(exceptions.InvalidArgument, match="enable_exactly_once_delivery"):
        cloud.subscription(f"projects/{cloud.project}/topics/topic", "other",
                           enable_exactly_once_delivery=True, push_config=push)  # fmt: skip
    with pytest.raises(exceptions.InvalidArgument, match="enable_exactly_once_delivery"):
        cloud.subscriber.modify_push_config(subscription=subscription, push_config=push)


@ours
def test_without_exactly_once_delivery_stale_ack_ids_are_no_error(cloud: Cloud) -> None:
    topic, subscription = _subscription(cloud)
    cloud.publisher.publish(topic, b"x").result(10)
    received = pull(cloud, subscription)
    ack(cloud, subscription, received)
    cloud.subscriber.update_subscription(
        subscription={"name": subscription}, update_mask={"paths": ["enable_exactly_once_delivery"]}
    )
    ack(cloud, subscription, received)
