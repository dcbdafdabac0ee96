"""Messages through one topic and one subscription, with Google's stock client at both ends: how many, and how soon."""

from __future__ import annotations

import multiprocessing
import threading
import time
import uuid
from multiprocessing.synchronize import Semaphore
from types import TracebackType
from typing import Any

import grpc
from google.cloud import pubsub_v1
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from tests.bench.parts import environment

_OUTSTANDING, _OUTSTANDING_BYTES = 1000, 3_000_000
"""Under way at most."""

_PATIENCE_S = 30.0
"""Seconds without a message after which a broker has stopped delivering."""


class Traffic:
    """Publishes to and hears from one broker, messages of `size` bytes; a context manager."""

    def __init__(self, host: str, size: int) -> None:
        self._host, self._size = host, size
        self._processes = multiprocessing.get_context("spawn")
        self._slots = self._processes.Semaphore(max(1, min(_OUTSTANDING, _OUTSTANDING_BYTES // size)))
        self._heard: dict[int, float] = {}
        self._first = self._wanted = 0
        self._changed = threading.Condition()
        name = uuid.uuid4().hex
        self._topic, subscription = f"projects/bench/topics/t-{name}", f"projects/bench/subscriptions/s-{name}"
        with environment({"PUBSUB_EMULATOR_HOST": host}):
            # Each message by itself: the stock client's wait for a batch is not the broker's.
            self._publisher = pubsub_v1.PublisherClient(pubsub_v1.types.BatchSettings(max_messages=1))
        # A stock client on an emulator receives nothing of more than 4 MiB, which Google's does send.
        channel = grpc.insecure_channel(host, options=[("grpc.max_receive_message_length", -1)])
        self._subscriber = pubsub_v1.SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
        self._publisher.create_topic(name=self._topic)
        self._subscriber.create_subscription(name=subscription, topic=self._topic)
        self._stream = self._subscriber.subscribe(subscription, self._hear)

    def rate(self, count: int) -> float:
        """Messages a second in a closed loop: with 1000 messages or 3 MB under way, the next waits for a callback.

        Publisher and subscriber are two processes, as in life. The first tenth is not counted.
        """
        arguments = (self._host, self._topic, self._size, self._next(count), self._slots)
        publisher = self._processes.Process(target=_publish, args=arguments, daemon=True)
        publisher.start()
        try:
            self._wait(count)
        finally:
            publisher.terminate()
            publisher.join()
        moments = sorted(self._heard.values())
        first = count // 10
        return (count - first) / (moments[-1] - moments[first - 1])

    def delays_ms(self, count: int, per_s: float) -> list[float]:
        """Milliseconds from when a message was due to its callback, sorted; one is due every 1/`per_s` seconds."""
        start = time.perf_counter()
        due = {number: start + place / per_s for place, number in enumerate(self._next(count))}
        for number, moment in due.items():
            time.sleep(max(0.0, moment - time.perf_counter()))
            if not self._slots.acquire(timeout=_PATIENCE_S):
                raise TimeoutError(f"nothing was heard for {_PATIENCE_S:g} s")
            self._publisher.publish(self._topic, _data(number, self._size))
        self._wait(count)
        return sorted(1000 * (self._heard[number] - moment) for number, moment in due.items())

    def _hear(self, message: Any) -> None:
        now, number = time.perf_counter(), int.from_bytes(message.data[:8], "big")
        message.ack()
        with self._changed:
            if number in self._heard or number < self._first:
                return  # a duplicate, which frees no slot
            self._heard[number] = now
            if len(self._heard) == self._wanted:
                self._changed.notify()
        self._slots.release()

    def _next(self, count: int) -> range:
        """The numbers of the next messages; each is used once, so that a late duplicate is known."""
        self._heard, self._first = {}, self._first + len(self._heard)
        return range(self._first, self._first + count)

    def _wait(self, count: int) -> None:
        """Wait until this number of messages has been received."""
        with self._changed:
            self._wanted = count
            if not self._changed.wait_for(lambda: len(self._heard) >= count, _PATIENCE_S):
                raise TimeoutError(f"{count - len(self._heard)} of {count} messages did not come from {self._host}")

    def __enter__(self) -> Traffic:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.cancel()
        self._stream.result()
        self._subscriber.close()
        self._publisher.stop()
        self._publisher.transport.close()


def _publish(host: str, topic: str, size: int, numbers: range, slots: Semaphore) -> None:
    """Publish as fast as slots are free, in a process of its own."""
    with environment({"PUBSUB_EMULATOR_HOST": host}):
        publisher = pubsub_v1.PublisherClient()
    for number in numbers:
        slots.acquire()
        publisher.publish(topic, _data(number, size))
    publisher.stop()
    threading.Event().wait()  # until it is terminated: what stop() still sends would end with the process


def _data(number: int, size: int) -> bytes:
    return number.to_bytes(8, "big") + bytes(size - 8)
