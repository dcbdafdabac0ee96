"""A consumer of a group: messages are handled while others are fetched, and offsets are committed behind them."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

from functions.kafka.assignment import Assignment, Held
from functions.kafka.commits import Commits, OffsetCommits, Transactions
from functions.kafka.connection import MAX_MESSAGE_BYTES, answers, client, judge, library
from functions.kafka.deliveries import Names
from functions.kafka.publisher import Publish
from functions.kafka.retries import Delays, wait_s
from functions.runtime.supervised import Supervisor

log = logging.getLogger(__name__)

POLL_S = 0.1
"""Seconds that a poll waits for a message."""

BUSY_POLL_S = 0.005
"""The same with transactions while messages are handled, because the same thread commits them."""

PAUSE_S = 1.0
"""Seconds without room for another message after which partitions are paused: what is fetched is then fetched again."""

REVOKE_S = 30.0
"""Seconds for which a revoked partition is kept until its messages are answered; another worker answers the others."""

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


class KafkaStream:
    """Passes on the messages of the request topic and of the delay topic, from `start` until `stop`.

    `limits`: of the messages that are handled, and of their bytes. `publish`: publishes at once; None: in transactions.
    `ended`: ends when no more messages are received, with the exception if the consumer failed.
    """

    def __init__(
        self,
        properties: Mapping[str, Any],
        names: Names,
        limits: tuple[int, int],
        max_attempts: int,
        publish: Publish | None,
        supervisor: Supervisor,
    ) -> None:
        self.max_attempts = max_attempts
        self.ended: Future[None] = Future()
        self.delays = Delays(MAX_HELD, MAX_HELD_BYTES)
        self._names, self._max_messages, self._properties, self._supervisor = names, limits[0], properties, supervisor
        self._assignment = Assignment(publish, *limits)
        self._stopping, self._closing = threading.Event(), threading.Event()
        self._paused: set[tuple[str, int]] = set()
        self._full_since: float | None = None
        classic = {} if properties.get("group.protocol") == "consumer" else CLASSIC_DEFAULTS
        config = {
            **CONSUMER_DEFAULTS,
            **classic,
            **properties,
            "group.id": names.group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "on_commit": lambda error, partitions: self._committed(error, partitions),
        }
        self._consumer = client(library().Consumer, config)
        self._commits: Commits | None = None

    def start(self, receive: Callable[[Held], None], refused: Callable[[Held, str], None]) -> None:
        """Pass messages to `receive`, which must not block.

        `refused(held, reason)` replaces what a message led to and the brokers refuse in a transaction.
        """
        self._receive, self._refused = receive, refused
        self._thread = self._supervisor.start("kafka-consumer", self._run)

    def stop(self) -> None:
        """Receive no more messages. Those that were received can still be finished."""
        self._stopping.set()

    def is_stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    def close(self, timeout_s: float) -> None:
        """Commit what is finished, and leave the group."""
        self._stopping.set()
        self._closing.set()
        self._thread.join(timeout_s)

    def is_reachable(self, timeout_s: float) -> bool:
        """Whether a broker answers."""
        return answers(self._consumer, self._names.requests, timeout_s)

    def report(self) -> dict[str, Any]:
        """Fields for GET /health: `lag`, the messages of the assigned partitions that are not finished."""
        return {"lag": self._assignment.lag(self._high)}

    def _high(self, topic: str, number: int) -> int | None:
        place = library().TopicPartition(topic, number)
        try:
            _, high = self._consumer.get_watermark_offsets(place, cached=True)
        except (library().KafkaException, RuntimeError):  # RuntimeError: it is closed
            return None
        return int(high) if high >= 0 else None

    def _committed(self, error: Any, partitions: Sequence[Any]) -> None:
        if isinstance(self._commits, OffsetCommits):
            self._commits.committed(error, partitions)

    def _make_commits(self) -> Commits:
        if self._assignment.publish:
            return OffsetCommits(self._consumer, self._assignment)
        return Transactions(
            self._properties,
            transactional_id(self._names.group, self._properties),
            self._consumer,
            self._assignment,
            self._refused,
            self._closing.is_set,
        )

    def _run(self) -> None:
        try:
            commits = self._commits = self._make_commits()
            topics = [topic for topic in (self._names.requests, self._names.retry) if topic]
            self._consumer.subscribe(
                topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
            )
            while not self._closing.is_set():
                self.delays.run_due()
                commits.step()
                if self._stopping.is_set():
                    self._closing.wait(BUSY_POLL_S)
                else:
                    self._poll()
            commits.last(self._assignment.partitions())
            self._consumer.close()
        except Exception as exc:
            if not self._closing.is_set():
                self.ended.set_exception(exc)
                return
            log.warning("the consumer was not closed in order: %s", exc)
        self.ended.set_result(None)

    def _poll(self) -> None:
        room = self._assignment.room()
        if room <= 0:
            self._wait_for_room()
            return
        self._full_since = None
        self._pause(self._waiting_partitions())
        wait = BUSY_POLL_S if not self._assignment.publish and self._assignment.is_busy() else POLL_S
        first = self._consumer.poll(wait)
        if first is not None:
            for message in [first, *(self._consumer.consume(room - 1, 0) if room > 1 else ())]:
                self._take(message)

    def _wait_for_room(self) -> None:
        now = time.monotonic()
        self._full_since = self._full_since or now
        if now - self._full_since > PAUSE_S:
            self._pause({(each.topic, each.number) for each in self._assignment.partitions()})
            message = self._consumer.poll(0)  # serves the group; of a paused partition comes nothing
            if message is not None:
                self._take(message)
        share = 1 if not self._assignment.publish else max(1, self._max_messages // 8)
        self._assignment.wait_for_room(share, BUSY_POLL_S if not self._assignment.publish else POLL_S / 2)

    def _take(self, message: Any) -> None:
        if error := message.error():
            judge(error)
            return
        if held := self._assignment.begin(message):
            wait = wait_s(message) if message.topic() == self._names.retry else 0.0
            if wait > 0:
                self.delays.add(wait, partial(self._pass_on, held), held.size, held.partition)
            else:
                self._pass_on(held)

    def _pass_on(self, held: Held) -> None:
        if not self._stopping.is_set() and self._assignment.handle(held):
            self._receive(held)

    def _waiting_partitions(self) -> set[tuple[str, int]]:
        """The partitions of the delay topic, while no more of it may wait in memory."""
        if not self.delays.is_full():
            return set()
        names = ((each.topic, each.number) for each in self._assignment.partitions())
        return {name for name in names if name[0] == self._names.retry}

    def _pause(self, wanted: set[tuple[str, int]]) -> None:
        """Pause these partitions and no others."""
        if wanted == self._paused:
            return
        make, assigned = library().TopicPartition, {(p.topic, p.number) for p in self._assignment.partitions()}
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


def transactional_id(group: str, properties: Mapping[str, Any]) -> str:
    """The id of a worker's transactions: a static member keeps its own, so that its next start ends what is open."""
    if member := properties.get("group.instance.id"):
        return f"{group}-{member}"
    return f"{group}-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex}"
