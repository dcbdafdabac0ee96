"""Messages of up to 10 MB through push and pull workers on both servers get their responses."""

from __future__ import annotations

import pytest
from google.pubsub_v1 import PublisherClient

from functions.gcp.subscriber import subscriber
from infra.local.twin import Backend, Delivery, Twin
from tests.brokers import Cloud
from tests.conformance.test_pull_stream import bodies, stream
from tests.conformance.test_stock_client import pubsub
from tests.pubsub_client import PubsubClient
from tests.samples import encoded
from tests.waiting import until

__all__ = ["pubsub"]

LIMIT = 10_000_000
"""Limits data and attributes of a message together, in bytes."""

ATTRIBUTES = {"request_id": "r0", "top_k": "2", "filename": "ü" * 500}


def padded(size: int) -> bytes:
    """A valid image, padded to this number of bytes. Decoders ignore the padding."""
    return encoded("JPEG", (300, 400), "RGB").ljust(size, b"\0")


@pytest.mark.parametrize("worker", ["push", "pull"])
def test_large_inline_images_are_answered(pubsub: Backend, worker: Delivery, monkeypatch: pytest.MonkeyPatch) -> None:
    attribute_bytes = sum(len(word.encode()) for pair in ATTRIBUTES.items() for word in pair)
    sizes = {
        "r0": LIMIT - attribute_bytes,
        "r1": 9_900_000,
        **{f"r{number}": 9_000_000 for number in range(2, 7)},
        "r7": 4_200_000,
    }
    with Twin(pubsub=pubsub, worker=worker) as twin:
        for name, value in twin.env.items():
            monkeypatch.setenv(name, value)
        with PubsubClient(twin.project) as client:
            # The stock publisher refuses what is only just allowed.
            publisher, topic = PublisherClient(), f"projects/{twin.project}/topics/req_predict"
            for request_id, size in sizes.items():
                attributes = ATTRIBUTES | {"request_id": request_id}
                publisher.publish(topic=topic, messages=[{"data": padded(size), "attributes": attributes}], timeout=30)
            publisher.transport.close()
            answers = {response.request_id: response.status for response in client.responses(set(sizes), 120)}
            assert answers == dict.fromkeys(sizes, "ok")


def test_a_stream_receives_messages_of_any_size(cloud: Cloud) -> None:
    """Several messages that exceed 4 MiB in one response, and one message that exceeds it alone."""
    topic = cloud.topic()
    subscription = cloud.subscription(topic)
    sizes = [9_000_000, 3_000_000, 3_000_000, 3_000_000, 5_000_000]
    for number, size in enumerate(sizes):
        cloud.publisher.publish(topic, bytes([number]) * size).result(30)
    client = subscriber()
    with stream(cloud, subscription, 100, client, 100_000_000) as (_, came):
        assert until(lambda: sorted(map(len, bodies(came))) == sorted(sizes), 30)
        for delivery in came:
            delivery.ack()
    client.transport.close()
