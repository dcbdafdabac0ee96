"""The topic of Kafka that holds dead letters. A consumer group keeps which of them are redriven or purged."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from client.dead_letters.dead_letter import DeadLetter
from client.dead_letters.settled import Settled
from client.dead_letters.subscription import PAGE
from client.gcp import CALL_TIMEOUT_S, Cloud
from client.text import SendError
from client.transport.kafka_connection import (
    READ_COMMITTED,
    check_topics,
    client_properties,
    reason,
    retried,
    send_error,
)
from client.transport.kafka_message import attributes_of, published_at
from functions.kafka.connection import library

_SILENT_S = 20.0
"""Seconds without a message or the end of a partition after which the broker does not answer."""


@dataclass(frozen=True, slots=True)
class _Message:
    """A message of Kafka with the fields of a PubsubMessage. Its id is its partition and its offset."""

    message_id: str
    data: bytes
    attributes: Mapping[str, str]
    publish_time: datetime
    ordering_key: str = ""

    @classmethod
    def of(cls, message: Any) -> _Message:
        place = f"{message.partition()}:{message.offset()}"
        return cls(place, message.value() or b"", attributes_of(message), published_at(message))


class DeadLetterTopic:
    """Reads dead letters; a context manager. Nobody is kept from reading them too, and they stay in the topic.

    The consumer group `TOPIC-redrive` keeps which are settled. Raises SendError, and UsageError where the settings of
    Kafka are wrong.
    """

    until = "its end"

    def __init__(self, cloud: Cloud, topic: str, log: Callable[[str], None]) -> None:
        self.path, self._log = topic, log
        self._group, self._properties = f"{topic}-redrive", client_properties(cloud)
        self._settled: dict[int, Settled] = {}

    def __enter__(self) -> Self:
        check_topics(self._properties, reads=self.path)
        self._consumer = library().Consumer(
            {
                **self._properties,
                **READ_COMMITTED,
                "group.id": self._group,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
            }
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def pages(self, size: int = PAGE) -> Iterator[list[DeadLetter]]:
        """Yield every dead letter that is not settled, in pages of at most `size`, up to the end of each partition."""
        unread, page = self._begin(), list[DeadLetter]()
        ends = dict.fromkeys(unread, -1)
        while unread:
            message = self._next()
            partition, offset = message.partition(), message.offset()
            if message.error():
                unread.discard(partition)
                continue
            if partition not in unread:
                continue  # it was added after the end was reached
            # Offsets in between have no message: the marks of transactions, and what was removed.
            settled = self._settled[partition]
            settled.add(max(settled.low, ends[partition]), offset)
            ends[partition] = offset + 1
            if offset not in settled:
                page.append(DeadLetter.read(_Message.of(message)))
            if len(page) == size:
                yield page
                page = []
        if page:
            yield page

    def ack(self, message_ids: Iterable[str]) -> None:
        """Keep that these dead letters, which were read, are settled."""
        changed = set[int]()
        for each in message_ids:
            partition, offset = map(int, each.split(":"))
            self._settled[partition].add(offset, offset + 1)
            changed.add(partition)
        places = [
            library().TopicPartition(self.path, each, self._settled[each].low, self._settled[each].text)
            for each in changed
        ]
        if not places:
            return
        try:
            self._consumer.commit(offsets=places, asynchronous=False)
        except library().KafkaException as exc:
            raise send_error("what is redriven cannot be kept", exc, f"the group {self._group}") from exc

    def delete(self, message_ids: Iterable[str]) -> None:
        """Settle these dead letters, and remove from the topic what is settled before the oldest other one."""
        from confluent_kafka.admin import AdminClient

        self.ack(message_ids)
        ends = [library().TopicPartition(self.path, each, of.low) for each, of in self._settled.items() if of.low > 0]
        if not ends:
            return
        admin = AdminClient(self._properties)  # without this reference, its answers would be lost
        try:
            for done in admin.delete_records(ends, request_timeout=CALL_TIMEOUT_S).values():
                done.result(CALL_TIMEOUT_S)
        except library().KafkaException as exc:
            self._log(
                f"{reason(exc, f'the topic {self.path}')}: the dead letters are listed no more, and stay in the topic "
                "until its retention ends"
            )

    def _begin(self) -> set[int]:
        """Read all partitions from their oldest dead letter that is not settled. Returns the partitions."""
        try:
            known = self._consumer.list_topics(self.path, CALL_TIMEOUT_S).topics[self.path].partitions
            asked = [library().TopicPartition(self.path, number) for number in known]
            found = retried(self._consumer.committed, asked)
            for each in found:
                if each.error:
                    raise library().KafkaException(each.error)
                low, end = retried(self._consumer.get_watermark_offsets, each)
                kept = Settled(max(each.offset, 0), each.metadata or "")
                kept.add(0, low)
                # An offset beyond the end is that of a topic of the same name, which was deleted.
                self._settled[each.partition] = kept if kept.low <= end else Settled(low)
                each.offset = self._settled[each.partition].low
            self._consumer.assign(found)
        except library().KafkaException as exc:
            raise self._failed(exc) from exc
        return set(self._settled)

    def _next(self) -> Any:
        """Return the next message, or the end of a partition."""
        end = library().KafkaError._PARTITION_EOF
        until = time.monotonic() + _SILENT_S
        while time.monotonic() < until:
            message = self._consumer.poll(0.5)
            if message is None:
                continue
            if not (error := message.error()) or error.code() == end:
                return message
            if not error.retriable():
                raise self._failed(error)
        raise SendError("dead letters cannot be read: no answer in time", temporary=True)

    def _failed(self, exc: Any) -> SendError:
        return send_error("dead letters cannot be read", exc, f"the topic {self.path}", self._group)
