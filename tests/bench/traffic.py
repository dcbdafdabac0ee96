"""Messages through one topic and one subscription, with Google's stock client at both ends: how many, and how soon."""

from __future__ import annotations

import itertools
import threading
import time
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Any

from google.cloud import pubsub_v1

from tests.bench.parts import GIVE_UP_S, environment

_OUTSTANDING_BYTES = 3_000_000
"""Under way at most, since a stock client on Google's emulator receives nothing of more than 4 MiB."""

_OUTSTANDING = 1000


class Traffic:
    """Publishes to and hears from one broker, messages of `size` bytes; a context manager."""

    def __init__(self, host: str, size: int) -> None:
        self._padding = bytes(size - 8)
        self._room = threading.Semaphore(max(1, min(_OUTSTANDING, _OUTSTANDING_BYTES // size)))
        self._numbers = itertools.count()
        self._due: dict[int, float] = {}
        self._delays_s: list[float] = []
        self._changed = threading.Condition()
        name = uuid.uuid4().hex
        self._topic, subscription = f"projects/bench/topics/t-{name}", f"projects/bench/subscriptions/s-{name}"
        with environment({"PUBSUB_EMULATOR_HOST": host}):
            self._publisher = pubsub_v1.PublisherClient()
            self._eager = pubsub_v1.PublisherClient(pubsub_v1.types.BatchSettings(max_messages=1))
            self._subscriber = pubsub_v1.SubscriberClient()
        self._publisher.create_topic(name=self._topic)
        self._subscriber.create_subscription(name=subscription, topic=self._topic)
        self._stream = self._subscriber.subscribe(subscription, self._hear)

    def rate(self, count: int, progress: Callable[[int], None] = lambda sent: None) -> float:
        """Messages a second in a closed loop: with 1000 messages or 3 MB under way, the next waits for an ack.

        `progress` is called with how many were published, before each.
        """
        start = time.perf_counter()
        for sent in range(count):
            progress(sent)
            self._send(self._publisher, start)
        return count / max(self._all(count))

    def delays_ms(self, count: int, per_s: float) -> list[float]:
        """Milliseconds from the moment a message was due to its callback, sorted; one is due every 1/`per_s` seconds.

        Each is published by itself: the stock client's wait for a batch is not the broker's.
        """
        start = time.perf_counter()
        for sent in range(count):
            due = start + sent / per_s
            time.sleep(max(0.0, due - time.perf_counter()))
            self._send(self._eager, due)
        return [1000 * delay for delay in sorted(self._all(count))]

    def _send(self, publisher: pubsub_v1.PublisherClient, due: float) -> None:
        if not self._room.acquire(timeout=GIVE_UP_S):
            raise TimeoutError(f"nothing came for {GIVE_UP_S:g} s")
        number = next(self._numbers)
        self._due[number] = due
        publisher.publish(self._topic, number.to_bytes(8, "big") + self._padding)

    def _hear(self, message: Any) -> None:
        now = time.perf_counter()
        message.ack()
        due = self._due.pop(int.from_bytes(message.data[:8], "big"), None)
        if due is None:
            return  # a duplicate, which makes no room
        self._room.release()
        with self._changed:
            self._delays_s.append(now - due)
            self._changed.notify()

    def _all(self, count: int) -> list[float]:
        """Seconds from when each message was due to its callback, when all are there."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._delays_s) == count, GIVE_UP_S):
                raise TimeoutError(f"{count - len(self._delays_s)} of {count} messages did not come")
            heard, self._delays_s = self._delays_s, []
            return heard

    def __enter__(self) -> Traffic:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.cancel()
        self._stream.result()
        self._subscriber.close()
        for publisher in (self._publisher, self._eager):
            publisher.stop()
            publisher.transport.close()
