"""Commits the offsets of a consumer: alone, or in one transaction with what their messages led to."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from functions.kafka.assignment import Assignment, Held, Partition
from functions.kafka.connection import MAX_MESSAGE_BYTES, client, library, sentence_of

log = logging.getLogger(__name__)

COMMIT_S = 0.25
"""Seconds between commits. After a kill, at most the messages of this time are answered twice."""

CALL_S = 10.0
"""Seconds for a call of a transaction; one that may be repeated is made again."""

TRANSACTION_DEFAULTS: dict[str, Any] = {
    "linger.ms": 0,
    "message.max.bytes": MAX_MESSAGE_BYTES,
    "transaction.timeout.ms": 30_000,
}
"""Properties that KAFKA_CONFIG may set otherwise. After a kill, readers wait until the open transaction times out; the
time is longer than a restart of a broker."""


class Commits(Protocol):
    """Commits what is finished. For the thread of the consumer."""

    def step(self) -> None:
        """Commit if it is time."""
        ...

    def last(self, partitions: Sequence[Partition]) -> None:
        """Commit what is finished of partitions that are about to be revoked."""
        ...


def positions(partitions: Sequence[Partition]) -> list[Any]:
    """The offsets to commit, with what is finished beyond them, where there is something new."""
    make = library().TopicPartition
    return [
        make(each.topic, each.number, each.offsets.position, each.offsets.beyond)
        for each in partitions
        if each.offsets.position is not None and (each.offsets.position, each.offsets.beyond) != each.committed
    ]


class OffsetCommits:
    """Commits offsets every COMMIT_S seconds."""

    def __init__(self, consumer: Any, assignment: Assignment, clock: Callable[[], float] = time.monotonic) -> None:
        self._consumer, self._assignment, self._clock = consumer, assignment, clock
        self._next = clock() + COMMIT_S

    def step(self) -> None:
        """Commit if it is time; returns at once."""
        if self._clock() < self._next:
            return
        self._next = self._clock() + COMMIT_S
        self._assignment.advance()
        if due := positions(self._assignment.partitions()):
            self._commit(due, asynchronous=True)

    def last(self, partitions: Sequence[Partition]) -> None:
        """Commit what is finished; blocks."""
        self._assignment.advance()
        if due := positions(partitions):
            self._commit(due, asynchronous=False)

    def _commit(self, due: Sequence[Any], asynchronous: bool) -> None:
        try:
            self._consumer.commit(offsets=due, asynchronous=asynchronous)
        except library().KafkaException as exc:  # these messages are delivered again, and get the same responses
            log.warning("offsets of %d partitions are not committed: %s", len(due), sentence_of(exc))

    def committed(self, error: Any, committed: Sequence[Any]) -> None:
        """A commit ended: the callback on_commit of the consumer."""
        if error:
            log.warning("offsets of %d partitions are not committed: %s", len(committed), error.str())
            return
        found = {
            (each.topic, each.partition): (each.offset, each.metadata or "") for each in committed if not each.error
        }
        for partition in self._assignment.partitions(found):
            partition.committed = found[partition.topic, partition.number]


class Transactions:
    """Publishes what messages led to, and commits their offsets, in transactions.

    A transaction commits the lowest offset that is not finished, and which ones are finished beyond it: a reader with
    isolation.level=read_committed sees each response once, whatever happens. `refused(held, reason)` replaces what a
    message led to and the brokers refuse.
    """

    def __init__(
        self,
        properties: Mapping[str, Any],
        transactional_id: str,
        consumer: Any,
        assignment: Assignment,
        refused: Callable[[Held, str], None],
        gave_up: Callable[[], bool],
    ) -> None:
        self._consumer, self._assignment, self._refused, self._gave_up = consumer, assignment, refused, gave_up
        self._pending: list[Held] = []
        config = {**TRANSACTION_DEFAULTS, **properties, "acks": "all", "transactional.id": transactional_id}
        self._producer = client(library().Producer, config)
        self._call(self._producer.init_transactions)

    def step(self) -> None:
        """Commit a transaction with all that is finished; blocks."""
        self._pending += self._assignment.advance()
        gone = [held for held in self._pending if held.partition.is_revoked]
        self._pending = [held for held in self._pending if not held.partition.is_revoked]
        self._assignment.release(gone)
        if self._pending and self._transact(self._pending):
            self._assignment.release(self._pending)
            self._pending = []

    def last(self, partitions: Sequence[Partition]) -> None:
        """Commit a transaction with all that is finished; blocks."""
        self.step()

    def _transact(self, held: Sequence[Held]) -> bool:
        """Make one transaction. Returns whether it is committed; raises KafkaException when no other can be."""
        refusals: list[tuple[Held, Any]] = []

        def delivered(each: Held, error: Any, _: object) -> None:
            if error:
                refusals.append((each, error))

        due = positions(list({id(each.partition): each.partition for each in held}.values()))
        self._producer.begin_transaction()
        try:
            for each in held:
                for message in each.outgoing:
                    message.produce(self._producer, partial(delivered, each))
            group = self._consumer.consumer_group_metadata()
            self._call(self._producer.send_offsets_to_transaction, due, group)
            self._call(self._producer.commit_transaction)
        except (library().KafkaException, BufferError) as exc:
            if isinstance(exc, library().KafkaException) and not exc.args[0].txn_requires_abort():
                raise
            log.warning("a transaction of %d messages is aborted, and made again: %s", len(held), sentence_of(exc))
            self._call(self._producer.abort_transaction)
            self._replace(refusals)
            return False
        return True

    def _replace(self, refusals: Sequence[tuple[Held, Any]]) -> None:
        purged = (library().KafkaError._PURGE_QUEUE, library().KafkaError._PURGE_INFLIGHT)
        for held, error in {id(held): (held, error) for held, error in refusals}.values():
            if error.code() not in purged and not error.retriable():
                self._refused(held, error.str())

    def _call(self, call: Callable[..., Any], *args: Any) -> None:
        """Make a call of a transaction, again where it may be repeated."""
        while True:
            try:
                call(*args, CALL_S)
                return
            except library().KafkaException as exc:
                if not exc.args[0].retriable() or self._gave_up():
                    raise
                log.warning("a call of a transaction is made again: %s", sentence_of(exc))
