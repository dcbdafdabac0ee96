"""A consumer of a group: messages are handled while others are fetched, and offsets are committed behind them."""

from __future__ import annotations

import logging
import os
import socket
import time
import uuid
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from functions.kafka.assignment import Assignment, Held
from functions.kafka.commits import CALL_S, Commits, OffsetCommits, Transactions
from functions.kafka.connection import MAX_MESSAGE_BYTES, client, judge, library, sentence_of
from functions.kafka.lag import LagLog
from functions.kafka.offset_ranges import Ranges, decoded
from functions.kafka.publisher import Publish
from functions.kafka.retries import Delays, wait_s
from functions.kafka.stream import TopicStream
from functions.runtime.supervised import Supervisor

log = logging.getLogger(__name__)

POLL_S = 0.1
"""Seconds that a poll waits for a message."""

BUSY_POLL_S = 0.005
"""The same with transactions while messages are handled, because the same thread commits them."""

PAUSE_S = 1.0
"""Seconds without capacity after which partitions are paused: what is fetched ahead is then fetched again."""

REVOKE_S = 30.0
"""Seconds for which a revoked partition is kept until its messages are answered; another worker answers the others."""

COMMITTED_S = 30.0
"""Seconds for which the brokers are asked again what of a partition is committed."""

LAG_S = 1.0
"""Seconds from one look at the lag to the next."""

MAX_HELD, MAX_HELD_BYTES = 1_000, 8_000_000
"""Maximum messages of the delay topic, and their bytes, that wait in memory until they are due."""

CONSUMER_DEFAULTS: dict[str, Any] = {
    "auto.offset.reset": "earliest",
    "fetch.max.bytes": MAX_MESSAGE_BYTES,
    "queued.max.messages.kbytes": 8_192,
}
"""Properties that KAFKA_CONFIG may set otherwise: the last two limit the memory of messages that are fetched ahead."""

CLASSIC_DEFAULTS = {"session.timeout.ms": 20_000, "partition.assignment.strategy": "cooperative-sticky"}
"""Those of the group protocol `classic`; with `group.protocol=consumer` the brokers decide."""


class KafkaStream(TopicStream[Held]):
    """Passes on the messages of one topic; those of a delay topic when they are due.

    Each topic has a consumer of its own: in one that reads two topics, a group may give all partitions of a topic to
    one worker. `limits`: of the messages that are handled, and of their bytes. `publish`: publishes at once; None: in
    transactions.
    """

    def __init__(
        self,
        properties: Mapping[str, Any],
        topic: str,
        group: str,
        limits: tuple[int, int],
        max_attempts: int,
        publish: Publish | None,
        supervisor: Supervisor,
    ) -> None:
        super().__init__(properties, topic, group, supervisor)
        self.max_attempts = max_attempts
        self.delays = Delays(MAX_HELD, MAX_HELD_BYTES)
        self._max_messages = limits[0]
        self._assignment = Assignment(publish, *limits)
        self._paused: set[tuple[str, int]] = set()
        self._full_since: float | None = None
        classic = {} if properties.get("group.protocol") == "consumer" else CLASSIC_DEFAULTS
        config = {
            **CONSUMER_DEFAULTS,
            **classic,
            **properties,
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "on_commit": lambda error, partitions: self._committed(error, partitions),
        }
        self._consumer = client(library().Consumer, config)
        self._commits: Commits | None = None
        self.lag: int | None = 0
        """Messages of the assigned partitions that are not finished."""
        self._next_lag, self._lag_log = 0.0, LagLog(topic)

    def _measure_lag(self) -> None:
        """Note and log the lag, LAG_S after the last time: other threads must not ask the consumer."""
        if time.monotonic() >= self._next_lag:
            self._next_lag = time.monotonic() + LAG_S
            self.lag = self._assignment.lag(self._high)
            self._lag_log.step(self.lag, self._assignment.finished)

    def _high(self, topic: str, number: int) -> int | None:
        _, high = self._consumer.get_watermark_offsets(library().TopicPartition(topic, number), cached=True)
        return int(high) if high >= 0 else None

    def _committed(self, error: Any, partitions: Sequence[Any]) -> None:
        if isinstance(self._commits, OffsetCommits):
            self._commits.committed(error, partitions)

    def _make_commits(self) -> Commits:
        if self._assignment.publish:
            return OffsetCommits(self._consumer, self._assignment)
        return Transactions(
            self._properties,
            transactional_id(self._topic, self._properties),
            self._consumer,
            self._assignment,
            self._refused,
            self._closing.is_set,
        )

    def _consume(self) -> None:
        commits = self._commits = self._make_commits()
        self._consumer.subscribe(
            [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )
        while not self._closing.is_set():
            self.delays.run_due()
            commits.step()
            self._measure_lag()
            if self._stopping.is_set():
                self._closing.wait(BUSY_POLL_S)
            else:
                self._poll()
        commits.last(self._assignment.partitions())
        self._consumer.close()

    def _poll(self) -> None:
        capacity = self._assignment.capacity()
        if capacity <= 0:
            self._wait_for_capacity()
            return
        self._full_since = None
        self._pause(self._all() if self.delays.is_full() else set())
        wait = BUSY_POLL_S if not self._assignment.publish and self._assignment.is_busy() else POLL_S
        first = self._consumer.poll(wait)
        if first is not None:
            for message in [first, *(self._consumer.consume(capacity - 1, 0) if capacity > 1 else ())]:
                self._take(message)

    def _wait_for_capacity(self) -> None:
        now = time.monotonic()
        self._full_since = self._full_since or now
        if now - self._full_since > PAUSE_S:
            self._pause(self._all())
            message = self._consumer.poll(0)  # serves the group; of a paused partition comes nothing
            if message is not None:
                self._take(message)
        share = 1 if not self._assignment.publish else max(1, self._max_messages // 8)
        self._assignment.wait_for_capacity(share, BUSY_POLL_S if not self._assignment.publish else POLL_S / 2)

    def _take(self, message: Any) -> None:
        if error := message.error():
            if error.code() == library().KafkaError._PARTITION_EOF:
                self._assignment.reach_end(message.topic(), message.partition(), message.offset())
            else:
                judge(error)
            return
        if held := self._assignment.begin(message, self._earlier):
            if (wait := wait_s(message)) > 0:
                self.delays.add(wait, partial(self._pass_on, held), held.size, held.partition)
            else:
                self._pass_on(held)

    def _earlier(self, topic: str, number: int) -> Ranges:
        """What earlier readers of a partition finished beyond its committed offset. Raises KafkaException.

        For the first message of a partition: then its offset is not part of an open transaction.
        """
        asked, until = library().TopicPartition(topic, number), time.monotonic() + COMMITTED_S
        while True:
            try:
                [found] = self._consumer.committed([asked], timeout=CALL_S)
                if not found.error:
                    return decoded(found.offset, found.metadata or "")
                failure = library().KafkaException(found.error)
            except library().KafkaException as exc:
                failure = exc
            if time.monotonic() > until:
                raise failure
            log.warning("what is committed is asked again: %s", sentence_of(failure))
            time.sleep(POLL_S)

    def _pass_on(self, held: Held) -> None:
        if not self._stopping.is_set() and self._assignment.handle(held):
            self._receive(held)

    def _all(self) -> set[tuple[str, int]]:
        """The names of the assigned partitions."""
        return {(each.topic, each.number) for each in self._assignment.partitions()}

    def _pause(self, wanted: set[tuple[str, int]]) -> None:
        """Pause these partitions and no others."""
        if wanted == self._paused:
            return
        make, assigned = library().TopicPartition, self._all()
        if added := [make(*name) for name in wanted - self._paused]:
            self._consumer.pause(added)
        if removed := [make(*name) for name in (self._paused - wanted) & assigned]:
            self._consumer.resume(removed)
        self._paused = wanted

    def _on_assign(self, _: Any, partitions: Sequence[Any]) -> None:
        names = _names(partitions)
        self._assignment.assign(names)
        self._paused -= set(names)
        log.info("partitions assigned", extra={"partitions": sorted(f"{topic}/{number}" for topic, number in names)})

    def _on_revoke(self, _: Any, partitions: Sequence[Any]) -> None:
        names = _names(partitions)
        revoked = self._assignment.partitions(names)
        if not self._stopping.is_set():
            self._assignment.wait_until_settled(revoked, REVOKE_S)
        assert self._commits
        self._commits.last(revoked)
        self._drop(names)

    def _on_lost(self, _: Any, partitions: Sequence[Any]) -> None:
        log.warning("partitions are lost: the group went on without this worker")
        self._drop(_names(partitions))

    def _drop(self, names: Sequence[tuple[str, int]]) -> None:
        for partition in self._assignment.partitions(names):
            self.delays.forget(partition)
        self._assignment.revoke(names)
        self._paused -= set(names)
        if names:
            log.info("partitions revoked", extra={"partitions": sorted(f"{topic}/{number}" for topic, number in names)})


def _names(partitions: Sequence[Any]) -> list[tuple[str, int]]:
    return [(each.topic, each.partition) for each in partitions]


def transactional_id(topic: str, properties: Mapping[str, Any]) -> str:
    """The id of a worker's transactions: a static member keeps its own, so that its next start ends what is open."""
    if member := properties.get("group.instance.id"):
        return f"{topic}-{member}"
    return f"{topic}-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex}"
