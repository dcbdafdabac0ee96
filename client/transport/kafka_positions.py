"""The positions of a consumer group in a topic: where its reader begins, what it has done, and what is committed."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from client.text import SendError
from client.transport.kafka_connection import retried, send_error
from functions.kafka.connection import library


class Positions:
    """The positions of one consumer in the partitions of one topic. `timeout_s` limits each call."""

    def __init__(self, consumer: Any, topic: str, timeout_s: float) -> None:
        self._consumer, self._topic, self._timeout_s = consumer, topic, timeout_s
        self._lock = threading.Lock()
        self._done: dict[int, int] = {}
        self._asked: dict[int, int] = {}

    def begin(self, *, kept: bool, must_exist: bool = False) -> bool:
        """Read all partitions: from what the group has committed where positions are `kept`, else from their end.

        Returns whether the group had none. With `kept` they are committed then, so that a later reader misses nothing;
        with `must_exist` that is an error. Raises SendError and KafkaException.
        """
        found = self._partitions()
        if kept:
            found = retried(self._consumer.committed, found, timeout_s=self._timeout_s)
            for each in found:
                if each.error:
                    raise library().KafkaException(each.error)
        is_new = all(each.offset < 0 for each in found)
        if is_new and kept and must_exist:
            raise SendError("the responses can no longer be found: their consumer group is gone")
        for each in found:
            if each.offset < 0:
                low, high = retried(self._consumer.get_watermark_offsets, each, timeout_s=self._timeout_s)
                each.offset = high if is_new else low  # a partition that was added since then is read whole
        if is_new and kept:
            self._consumer.commit(offsets=found, asynchronous=False)
        self._consumer.assign(found)
        return is_new

    def grow(self) -> None:
        """Read the partitions too that the topic got since `begin`. Does nothing where no broker answers in time."""
        known = {each.partition for each in self._consumer.assignment()}
        with suppress(library().KafkaException):  # the next call finds them
            added = [each for each in self._partitions() if each.partition not in known]
            for each in added:
                each.offset = 0
            if added:
                self._consumer.incremental_assign(added)

    def done(self, partition: int, offset: int) -> None:
        """Note that the message at this offset, and those before it, need not be read again."""
        with self._lock:
            self._done[partition] = max(offset + 1, self._done.get(partition, 0))

    def forget(self, partitions: Iterable[int]) -> None:
        """Commit nothing more of these partitions, which another reader has."""
        with self._lock:
            for each in partitions:
                self._done.pop(each, None)

    def commit(self, *, wait: bool = True) -> None:
        """Commit what is done; `wait`: return when the broker has it. Raises KafkaException."""
        with self._lock:
            # A commit that nobody waits for may have failed, so the last one has all positions.
            changed = {each: offset for each, offset in self._done.items() if wait or self._asked.get(each) != offset}
            self._asked |= changed
        if changed:
            partition = library().TopicPartition
            offsets = [partition(self._topic, number, offset) for number, offset in changed.items()]
            self._consumer.commit(offsets=offsets, asynchronous=not wait)

    def _partitions(self) -> list[Any]:
        found = self._consumer.list_topics(self._topic, self._timeout_s).topics[self._topic]
        if found.error:
            raise send_error("the responses cannot be read", found.error, f"the topic {self._topic}")
        return [library().TopicPartition(self._topic, number) for number in found.partitions]
