"""What a consumer holds: the partitions that are assigned to it, and their messages until they are finished."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from functions.kafka.offset_ranges import Ranges
from functions.kafka.offsets import PartitionOffsets
from functions.kafka.publisher import OutMessage, Publish

_MEMORY = 2_000
"""Bytes of one message and its response in memory, apart from the value."""


@dataclass(slots=True, eq=False)
class Partition:
    """A partition from its assignment until it is revoked."""

    topic: str
    number: int
    offsets: PartitionOffsets[Held | None] = field(default_factory=PartitionOffsets)
    in_flight: int = 0
    """Messages that are handled now."""
    is_revoked: bool = False
    committed: tuple[int, str] | None = None
    """The offset that the brokers last confirmed, with what is finished beyond it."""
    is_read: bool = False
    """Whether a message was read, and `offsets` has what earlier readers finished."""


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """A message of a partition, until its offset may be committed. `publish` as in HeldMessage.

    `outgoing`: with transactions, what is published with the offset.
    """

    message: Any
    partition: Partition
    assignment: Assignment
    size: int
    outgoing: list[OutMessage] = field(default_factory=list)

    @property
    def publish(self) -> Publish:
        return self.assignment.publish or self._gather

    def discard(self) -> None:
        """Publish nothing of what was gathered for the transaction."""
        self.outgoing.clear()

    def finish(self) -> None:
        """Count the offset as finished."""
        self.assignment.finish(self)

    reject = finish

    def leave(self) -> None:
        """Leave the offset unfinished: who reads the partition next gets the message."""
        self.assignment.leave(self)

    def _gather(self, message: OutMessage) -> Future[str]:
        self.outgoing.append(message)
        gathered: Future[str] = Future()
        gathered.set_result("")
        return gathered


class Assignment:
    """The assigned partitions and the messages that are held. Callable from any thread.

    `publish`: publishes at once; None: messages are gathered for transactions. `max_messages`, `max_bytes`: limits of
    the messages that are handled or wait for their transaction.
    """

    def __init__(self, publish: Publish | None, max_messages: int, max_bytes: int) -> None:
        self.publish, self._max_messages, self._max_bytes = publish, max_messages, max_bytes
        self._changed = threading.Condition()
        self._partitions: dict[tuple[str, int], Partition] = {}
        self._messages = self._bytes = 0
        self.finished = 0
        """Messages that were finished since the start."""

    def assign(self, names: Iterable[tuple[str, int]]) -> None:
        """Partitions, by topic and number, are assigned."""
        with self._changed:
            for topic, number in names:
                self._partitions[topic, number] = Partition(topic, number)

    def revoke(self, names: Iterable[tuple[str, int]]) -> None:
        """Partitions are revoked: what is finished later counts no more."""
        with self._changed:
            for name in names:
                if partition := self._partitions.pop(name, None):
                    partition.is_revoked = True
                    for held in filter(None, partition.offsets.drop()):
                        self._release(held)

    def partitions(self, names: Collection[tuple[str, int]] | None = None) -> list[Partition]:
        """The partitions of these names, or all."""
        with self._changed:
            return [each for name, each in self._partitions.items() if names is None or name in names]

    def begin(self, message: Any, earlier: Callable[[str, int], Ranges]) -> Held | None:
        """Hold a message. None when its partition is not assigned, or an earlier reader finished the message.

        For the thread of the consumer. `earlier(topic, number)`: what earlier readers of the partition finished beyond
        the committed offset.
        """
        name = message.topic(), message.partition()
        with self._changed:
            partition = self._partitions.get(name)
        if not partition:
            return None
        if not partition.is_read:  # so no other thread has a message of it
            partition.offsets, partition.is_read = PartitionOffsets(earlier(*name)), True
        with self._changed:
            is_new = partition.offsets.begin(message.offset())
        return Held(message, partition, self, _MEMORY + len(message.value() or b"")) if is_new else None

    def reach_end(self, topic: str, number: int, offset: int) -> None:
        """A partition has no message that was not delivered; its next one gets this offset or a higher one."""
        with self._changed:
            if partition := self._partitions.get((topic, number)):
                partition.offsets.reach_end(offset)

    def handle(self, held: Held) -> bool:
        """Count a message as handled from now on. False when its partition was revoked in the meantime."""
        with self._changed:
            if held.partition.is_revoked:
                return False
            held.partition.in_flight += 1
            self._messages += 1
            self._bytes += held.size
            return True

    def finish(self, held: Held) -> None:
        """A message is finished."""
        with self._changed:
            self.finished += 1
            held.partition.in_flight -= 1
            if not held.partition.is_revoked:
                held.partition.offsets.finish(held.message.offset(), None if self.publish else held)
            if self.publish or held.partition.is_revoked:
                self._release(held)
            self._changed.notify_all()

    def leave(self, held: Held) -> None:
        """A message is not handled any more, and not finished."""
        with self._changed:
            held.partition.in_flight -= 1
            self._release(held)
            self._changed.notify_all()

    def advance(self) -> list[Held]:
        """Move the positions past what is finished. Returns the messages that wait for their transaction."""
        with self._changed:
            partitions = self._partitions.values()
            return [held for partition in partitions for held in partition.offsets.advance() if held]

    def release(self, transacted: Iterable[Held]) -> None:
        """The transaction of messages is done."""
        with self._changed:
            for held in transacted:
                self._release(held)
            self._changed.notify_all()

    def capacity(self) -> int:
        """How many more messages may be handled."""
        with self._changed:
            return self._capacity()

    def wait_for_capacity(self, capacity: int, timeout_s: float) -> None:
        """Wait until so many more messages may be handled, or the time is up."""
        with self._changed:
            self._changed.wait_for(lambda: self._capacity() >= capacity, timeout_s)

    def wait_until_settled(self, partitions: Collection[Partition], timeout_s: float) -> bool:
        """Wait until no message of these partitions is handled. Returns whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: not any(each.in_flight for each in partitions), timeout_s)

    def is_busy(self) -> bool:
        """Whether a message is handled, or waits for its transaction."""
        with self._changed:
            return self._messages > 0

    def lag(self, high: Callable[[str, int], int | None]) -> int:
        """Messages that are not finished, by the next offset of each partition; None where that is not known."""
        behind = 0
        for partition in self.partitions():
            end = high(partition.topic, partition.number)
            if end is not None:
                behind += partition.offsets.unfinished(end)
        return behind

    def _capacity(self) -> int:
        return self._max_messages - self._messages if self._bytes < self._max_bytes else 0

    def _release(self, held: Held) -> None:
        self._messages -= 1
        self._bytes -= held.size
