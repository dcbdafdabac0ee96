"""A publisher is answered before an open stream gets the message, as by the cloud: clients rely on this order."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import grpc
import pytest
from google.pubsub_v1 import types

from infra.local.pubsub.database import Database
from infra.local.pubsub.server import PubsubServer

TOPIC, SUBSCRIPTION = "projects/p/topics/topic", "projects/p/subscriptions/subscription"


@pytest.mark.timing
@pytest.mark.parametrize("kept", [False, True], ids=["in memory", "with a data folder"])
def test_the_answer_comes_before_the_message(kept: bool, tmp_path: Path) -> None:
    with PubsubServer(data_dir=tmp_path if kept else None) as server, _leads_ms(server.host) as lead_ms:
        assert median(lead_ms() for _ in range(60)) > 0.5


@pytest.mark.timing
def test_the_answer_comes_before_the_message_when_the_disk_is_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Database.write

    def slow(*args: Any) -> None:
        time.sleep(0.1)
        write(*args)

    monkeypatch.setattr(Database, "write", slow)
    with PubsubServer(data_dir=tmp_path) as server, _leads_ms(server.host) as lead_ms:
        assert all(lead_ms() > -50 for _ in range(5))


def test_what_was_published_before_a_pull_is_in_its_response() -> None:
    with PubsubServer() as server, grpc.insecure_channel(server.host) as channel:
        _create(channel)
        publish, pull = _method(channel, "Publisher", "Publish"), _method(channel, "Subscriber", "Pull")
        for _ in range(50):
            publish(_request())
            pulled = pull(types.PullRequest(subscription=SUBSCRIPTION, max_messages=2, return_immediately=True))
            assert len(pulled.received_messages) == 1


@contextmanager
def _leads_ms(host: str) -> Iterator[Any]:
    """A function that publishes one message, and gives by how many ms its answer was earlier than the message."""
    received: queue.Queue[float] = queue.Queue()
    ended = threading.Event()

    def opening() -> Iterator[Any]:
        yield types.StreamingPullRequest(subscription=SUBSCRIPTION, stream_ack_deadline_seconds=60)
        ended.wait()

    own = [("grpc.use_local_subchannel_pool", 1)]  # two connections, as of two programs
    with grpc.insecure_channel(host, own) as publishing, grpc.insecure_channel(host, own) as pulling:
        _create(publishing)
        stream = pulling.stream_stream(
            "/google.pubsub.v1.Subscriber/StreamingPull",
            request_serializer=types.StreamingPullRequest.serialize,
            response_deserializer=types.StreamingPullResponse.deserialize,
        )(opening())

        def read() -> None:
            try:
                for _ in stream:
                    received.put(time.perf_counter())
            except grpc.RpcError:
                ended.set()

        reader = threading.Thread(target=read)
        reader.start()
        publish = _method(publishing, "Publisher", "Publish")

        def lead_ms() -> float:
            answered: queue.Queue[float] = queue.Queue()
            publish.future(_request()).add_done_callback(lambda _: answered.put(time.perf_counter()))
            return (received.get(timeout=10) - answered.get(timeout=10)) * 1000

        yield lead_ms
        stream.cancel()
        reader.join()


def _create(channel: grpc.Channel) -> None:
    _method(channel, "Publisher", "CreateTopic", types.Topic, types.Topic)(types.Topic(name=TOPIC))
    create = _method(channel, "Subscriber", "CreateSubscription", types.Subscription, types.Subscription)
    create(types.Subscription(name=SUBSCRIPTION, topic=TOPIC, ack_deadline_seconds=600))


def _request() -> types.PublishRequest:
    return types.PublishRequest(topic=TOPIC, messages=[types.PubsubMessage(data=b"x")])


def _method(channel: grpc.Channel, service: str, name: str, request: Any = None, response: Any = None) -> Any:
    request, response = request or getattr(types, f"{name}Request"), response or getattr(types, f"{name}Response")
    return channel.unary_unary(
        f"/google.pubsub.v1.{service}/{name}",
        request_serializer=request.serialize,
        response_deserializer=response.deserialize,
    )
