"""The ends of a bridge in Kafka: a topic that a consumer group reads, and a topic that is published on."""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import Any, Self

from client.bridge.message import BATCH, BATCH_BYTES, Message
from client.gcp import CALL_TIMEOUT_S, Cloud
from client.text import SendError
from client.transport.kafka_connection import (
    READ_COMMITTED,
    check_topics,
    client_properties,
    is_refused,
    lasts,
    send_error,
)
from client.transport.kafka_message import attributes_of
from client.transport.kafka_publisher import KafkaPublisher
from functions.kafka.connection import library

_WAIT_S = 1.0
"""Seconds that a batch waits for the first message."""

_REBALANCED = frozenset({"ILLEGAL_GENERATION", "REBALANCE_IN_PROGRESS", "UNKNOWN_MEMBER_ID", "FENCED_INSTANCE_ID"})
"""Errors of a commit after the partitions have got to another bridge of the same group, which moves the batch again."""


class KafkaSource:
    """Reads a topic as a consumer group. A new group begins with the oldest message.

    Raises UsageError where the settings of Kafka are wrong.
    """

    def __init__(self, cloud: Cloud, group: str) -> None:
        self.place, self._topic, self._group = "", cloud.topic, group
        self._properties = client_properties(cloud)
        self._next: dict[int, int] = {}

    def __enter__(self) -> Self:
        check_topics(self._properties, reads=self._topic)
        self._consumer = library().Consumer(
            {
                "queued.max.messages.kbytes": BATCH_BYTES // 1000,
                **self._properties,
                **READ_COMMITTED,
                "group.id": self._group,
                "auto.offset.reset": "earliest",
            }
        )
        self.place = f"kafka:{self._consumer.list_topics(timeout=CALL_TIMEOUT_S).cluster_id}"
        self._consumer.subscribe([self._topic])
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def batch(self) -> list[Message]:
        """Read up to BATCH messages; those that are there already do not wait for others."""
        found, size = list[Message](), 0
        until = time.monotonic() + _WAIT_S
        self._next = {}
        while len(found) < BATCH and size < BATCH_BYTES:
            message = self._consumer.poll(0 if found else max(0.0, until - time.monotonic()))
            if message is None:
                if found or time.monotonic() >= until:
                    break
                continue
            if error := message.error():
                if lasts(error):
                    raise self._failed(error)
                continue
            data, name = message.value() or b"", f"{message.partition()}:{message.offset()}"
            found.append(Message(name, data, attributes_of(message)))
            self._next[message.partition()] = message.offset() + 1
            size += len(data)
        return found

    def confirm(self) -> None:
        """Commit the last batch."""
        place = library().TopicPartition
        offsets = [place(self._topic, partition, offset) for partition, offset in self._next.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except library().KafkaException as exc:
            if exc.args[0].name() not in _REBALANCED:
                raise self._failed(exc) from exc

    def _failed(self, exc: Any) -> SendError:
        return send_error(f"{self._topic} cannot be read", exc, f"the topic {self._topic}", self._group)


class KafkaTarget:
    """Publishes on the request topic of a `Cloud`. Raises UsageError where the settings of Kafka are wrong."""

    def __init__(self, cloud: Cloud) -> None:
        self.place, self._topic, self._properties = "", cloud.topic, client_properties(cloud)

    def __enter__(self) -> Self:
        check_topics(self._properties, writes=self._topic)
        self._publisher = KafkaPublisher(self._properties, self._topic)
        self.place = f"kafka:{self._publisher.cluster}"
        return self

    def __exit__(self, *_: object) -> None:
        self._publisher.close()

    def publish(self, message: Message) -> Future[str]:
        """Publish a message; its ordering key chooses the partition, as without a bridge."""
        return self._publisher.publish(message.data, message.attributes, message.ordering_key, key=message.key)

    def refuses(self, exc: BaseException) -> bool:
        """Whether an error says that the topic never takes this message."""
        return is_refused(exc)

    def failed(self, exc: BaseException, message: Message) -> SendError:
        """Return the error of a message that was not published."""
        return self._publisher.failed(exc)
