"""Publishes to topics of Kafka: responses, lists of responses, comparisons, retries and dead letters."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from functions.kafka.connection import MAX_MESSAGE_BYTES, client, library, log_error, sentence_of
from functions.kafka.message_headers import headers_of
from functions.messages.comparison import Comparison, comparison_attributes, encode_comparison
from functions.messages.contract import Response, encode_response, response_attributes
from functions.messages.response_list import encode_lists
from functions.runtime.futures import all_of
from functions.runtime.gathering import Backlog, Gathering, no_backlog
from functions.runtime.supervised import Supervisor

PUBLISH_RETRY_S = 30
"""Seconds for which a message is sent again. One that fails then is nacked, and its redelivery is answered."""

POLL_S = 0.2
"""Seconds between looks at whether the publisher was closed."""

DEFAULTS: dict[str, Any] = {
    "linger.ms": 1,  # messages are gathered before
    "delivery.timeout.ms": 1000 * PUBLISH_RETRY_S,
    "message.max.bytes": MAX_MESSAGE_BYTES,
    "queue.buffering.max.kbytes": 65_536,
}
"""Properties of producers that KAFKA_CONFIG may set otherwise."""


class NotPublished(Exception):
    """The brokers did not confirm a message."""


@dataclass(frozen=True, slots=True)
class OutMessage:
    """A message to publish. `timestamp_ms`: Unix time in milliseconds; 0: now."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    timestamp_ms: int = 0

    def produce(self, producer: Any, on_delivery: Callable[[Any, Any], None]) -> None:
        """Give the message to a producer, which calls `on_delivery(error, message)` from its poll."""
        producer.produce(
            self.topic,
            self.value,
            self.key,
            on_delivery=on_delivery,
            timestamp=self.timestamp_ms,
            headers=list(self.headers),
        )


Publish = Callable[[OutMessage], Future[str]]
"""Publishes a message; returns at once. The future ends with the message's place once the brokers have it, or fails."""


@dataclass(frozen=True, slots=True, eq=False)
class _Outgoing:
    """A message that waits to be sent. `published` ends once the brokers have it, or fails."""

    message: OutMessage
    published: Future[str] = field(default_factory=Future)

    def produce(self, producer: Any) -> None:
        try:
            self.message.produce(producer, self._delivered)
        except (BufferError, library().KafkaException) as exc:
            self.published.set_exception(NotPublished(f"{sentence_of(exc)} (topic {self.message.topic})"))

    def _delivered(self, error: Any, sent: Any) -> None:
        if error:
            self.published.set_exception(NotPublished(f"{error.str()} (topic {self.message.topic})"))
        else:
            self.published.set_result(f"{sent.topic()}/{sent.partition()}/{sent.offset()}")


class TopicProducer:
    """Publishes with an idempotent producer, which is built at the first message. Callable from any thread.

    The process ends when the producer can send nothing any more: its messages are delivered again, to the next one.

    Under load messages leave together, because each call costs the brokers as much as several messages. `backlog`: as
    of Gathering.
    """

    def __init__(self, properties: Mapping[str, Any], supervisor: Supervisor) -> None:
        self.backlog: Backlog = no_backlog
        self._properties, self._supervisor = properties, supervisor
        self._closed, self._building = threading.Event(), threading.Lock()
        self._messages = Gathering[_Outgoing | None](
            lambda waits: len(waits.message.value or b"") if waits else 0, backlog=lambda: self.backlog()
        )

    def publish(self, message: OutMessage) -> Future[str]:
        """Return at once; the future ends once the brokers have the message, or fails with NotPublished."""
        outgoing = _Outgoing(message)
        with self._building:
            _ = self._producer  # built now, for an error that names a wrong setting
        self._messages.add(outgoing)
        return outgoing.published

    def close(self, timeout_s: float) -> None:
        """Wait for the messages that are under way."""
        until = time.monotonic() + timeout_s
        if "_producer" in vars(self):
            self._messages.add(None)
            self._sender.join(timeout_s)
            self._producer.flush(max(0.0, until - time.monotonic()))
        self._closed.set()

    @cached_property
    def _producer(self) -> Any:
        ours = {"acks": "all", "enable.idempotence": True, "error_cb": log_error}
        made = client(library().Producer, {**DEFAULTS, **self._properties, **ours})

        def poll() -> None:
            while not self._closed.is_set():
                made.poll(POLL_S)  # raises when nothing more can be sent

        def send() -> None:
            while True:
                for outgoing in self._messages.next():
                    if not outgoing:
                        return
                    outgoing.produce(made)

        self._supervisor.start("kafka-publisher", poll)
        self._sender = self._supervisor.start("kafka-sender", send)
        return made


class KafkaResponses:
    """Responses to a topic. Callable from any thread."""

    def __init__(self, topic: str, publish: Publish) -> None:
        self._topic, self._publish = topic, publish

    def publish(self, response: Response, *, waited: bool = False) -> Future[str]:
        """Return at once; the future ends when the brokers have the response, or fails."""
        return self._send(encode_response(response), response_attributes(response))

    def publish_list(
        self, responses: Sequence[Response], attributes: Mapping[str, str], *, waited: bool = False
    ) -> Future[str]:
        """Publish responses in as few messages as their size allows; the future ends like that of `publish`."""
        return all_of([self._send(data, attributes) for data in encode_lists(responses)])

    def _send(self, data: bytes, attributes: Mapping[str, str]) -> Future[str]:
        return self._publish(OutMessage(self._topic, attributes["request_id"].encode(), data, headers_of(attributes)))


class KafkaComparisons:
    """Comparisons to a topic."""

    def __init__(self, topic: str, publish: Publish) -> None:
        self._topic, self._publish = topic, publish

    def publish(self, comparison: Comparison) -> Future[str]:
        """Return at once; the future ends when the brokers have the comparison, or fails."""
        attributes = comparison_attributes(comparison)
        key = attributes["request_id"].encode()
        return self._publish(OutMessage(self._topic, key, encode_comparison(comparison), headers_of(attributes)))
