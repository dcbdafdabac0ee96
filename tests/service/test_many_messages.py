"""Many small messages: the memory that they take, and the start of a server that has to restore them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.pubsub_v1 import types

from tests.bench.brokers import OURS, broker
from tests.bench.parts import pss_mb
from tests.service.persistent_server import Server, server

PROJECT = "projects/p"
TOPIC = f"{PROJECT}/topics/topic"


@pytest.mark.timing
def test_a_million_messages_of_100_bytes_fit_into_500_mb() -> None:
    """Measured with a tenth of them: 434 bytes of memory for each leave 66 MB to the server."""
    with broker(OURS) as (host, pid):
        _create(host)
        before = pss_mb(pid)
        _publish(host, 100_000)
        assert (pss_mb(pid) - before) * 2**20 / 100_000 < 434


@pytest.mark.timing
def test_a_server_with_200_000_messages_restarts_in_2_s(root: Path, tmp_path: Path) -> None:
    """Of the processor's time, because other programs may run."""
    with server(root, tmp_path) as first:
        _create(first.host)
        _publish(first.host, 200_000)
    again = Server(root, tmp_path)
    try:
        assert _processor_s(again.process.pid) < 2
        with grpc.insecure_channel(again.host) as channel:
            pull = channel.unary_unary(
                "/google.pubsub.v1.Subscriber/Pull",
                request_serializer=types.PullRequest.serialize,
                response_deserializer=types.PullResponse.deserialize,
            )
            name = f"{PROJECT}/subscriptions/subscription"
            pulled = pull(types.PullRequest(subscription=name, max_messages=1000)).received_messages
        assert [len(each.message.data) for each in pulled] == [100] * 1000
    finally:
        again.kill()


def _create(host: str) -> None:
    name = f"{PROJECT}/subscriptions/subscription"
    with grpc.insecure_channel(host) as channel:
        for service, method, resource in (
            ("Publisher", "CreateTopic", types.Topic(name=TOPIC)),
            ("Subscriber", "CreateSubscription", types.Subscription(name=name, topic=TOPIC)),
        ):
            channel.unary_unary(
                f"/google.pubsub.v1.{service}/{method}", type(resource).serialize, type(resource).deserialize
            )(resource, wait_for_ready=True, timeout=10)


def _publish(host: str, count: int) -> None:
    def requests() -> Iterator[bytes]:
        for _ in range(count // 1000):
            messages = [types.PubsubMessage(data=os.urandom(100)) for _ in range(1000)]
            yield types.PublishRequest.serialize(types.PublishRequest(topic=TOPIC, messages=messages))

    with grpc.insecure_channel(host) as channel:
        publish = channel.unary_unary("/google.pubsub.v1.Publisher/Publish", None, types.PublishResponse.deserialize)
        for request in requests():
            publish(request)


def _processor_s(pid: int) -> float:
    """Processor time that a process has used, in seconds (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
