"""Messages through one topic and one subscription with Google's generated clients: as fast as the server allows.

The stock client's own threads and futures cost more than a message costs a server, and so does the serialisation of a
request of a megabyte. Here requests that were serialised before go out, and messages come in over a raw streaming pull,
so that the server is what is measured.
"""

from __future__ import annotations

import multiprocessing
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Semaphore
from typing import Any

import grpc
from google.api_core.exceptions import Cancelled
from google.pubsub_v1 import (
    PublisherClient,
    PublishRequest,
    PubsubMessage,
    StreamingPullRequest,
    StreamingPullResponse,
    SubscriberClient,
)
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

_BATCH, _BATCH_BYTES = 100, 1_000_000
"""Like the batches of the stock client."""

_UNDER_WAY = 10
"""Batches published and not yet heard, at most."""

_TENTHS = 10

_PATIENCE_S = 30.0
"""Seconds without a message after which a server has stopped delivering."""


def flood(host: str, size: int, count: int, mark: Callable[[], None] = lambda: None) -> float:
    """Messages of `size` bytes a second, from request to acknowledgement, the first tenth left out.

    `mark` is called after each tenth. Publisher and subscriber are two processes. Raises TimeoutError when nothing
    arrives for _PATIENCE_S.
    """
    batch = max(1, min(_BATCH, _BATCH_BYTES // size))
    name = uuid.uuid4().hex
    topic, subscription = f"projects/bench/topics/t-{name}", f"projects/bench/subscriptions/s-{name}"
    processes = multiprocessing.get_context("spawn")
    slots = processes.Semaphore(_UNDER_WAY * batch)
    with _channel(host) as channel:
        PublisherClient(transport=PublisherGrpcTransport(channel=channel)).create_topic(name=topic)
        subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
        subscriber.create_subscription(name=subscription, topic=topic)
        publisher = processes.Process(target=_publish, args=(host, topic, size, count, batch, slots), daemon=True)
        publisher.start()
        try:
            marks = _drain(subscriber, subscription, count, slots, mark)
        finally:
            publisher.terminate()
            publisher.join()
    return (count - count // _TENTHS) / (marks[-1] - marks[0])


def _drain(
    subscriber: SubscriberClient, subscription: str, count: int, slots: Semaphore, mark: Callable[[], None]
) -> list[float]:
    """Hear and acknowledge every message; the moments at which each tenth was there."""
    requests: queue.SimpleQueue[StreamingPullRequest | None] = queue.SimpleQueue()
    requests.put(StreamingPullRequest(subscription=subscription, stream_ack_deadline_seconds=60))
    stream = subscriber.streaming_pull(requests=iter(requests.get, None))
    heard: set[str] = set()
    moments: list[float] = []
    for response in _Patient(stream):
        received = response.received_messages
        requests.put(StreamingPullRequest(ack_ids=[each.ack_id for each in received]))
        new = {each.message.message_id for each in received} - heard  # a duplicate frees no slot
        heard |= new
        for _ in new:
            slots.release()
        while len(heard) >= count * (len(moments) + 1) // _TENTHS:
            moments.append(time.perf_counter())
            mark()
            if len(moments) == _TENTHS:
                requests.put(None)
                stream.cancel()
                return moments
    raise TimeoutError(f"nothing arrived for {_PATIENCE_S:g} s after {len(heard)} of {count} messages")


class _Patient:
    """The responses of a stream, until none comes for _PATIENCE_S."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._last, self._ended = stream, time.monotonic(), threading.Event()

    def __iter__(self) -> Iterator[StreamingPullResponse]:
        threading.Thread(target=self._watch, daemon=True).start()
        try:
            for response in self._stream:
                self._last = time.monotonic()
                yield response
        except Cancelled:
            return  # it was silent
        finally:
            self._ended.set()

    def _watch(self) -> None:
        while not self._ended.wait(1.0):
            if time.monotonic() - self._last > _PATIENCE_S:
                self._stream.cancel()


def _publish(host: str, topic: str, size: int, count: int, batch: int, slots: Semaphore) -> None:
    """Publish batch after batch as slots are free, in a process of its own."""
    with _channel(host) as channel:
        publish = channel.unary_unary("/google.pubsub.v1.Publisher/Publish")
        message = PubsubMessage(data=bytes(size))
        requests = {
            messages: PublishRequest.serialize(PublishRequest(topic=topic, messages=[message] * messages))
            for messages in (batch, count % batch)
        }
        for first in range(0, count, batch):
            messages = min(batch, count - first)
            for _ in range(messages):
                slots.acquire()
            publish(requests[messages])


def _channel(host: str) -> grpc.Channel:
    return grpc.insecure_channel(host, options=[("grpc.max_receive_message_length", -1)])
