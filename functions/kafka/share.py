"""A consumer of a share group: the brokers lock each message for a while, for one of any number of workers.

Share groups need Kafka 4.2, and confluent-kafka calls its ShareConsumer a preview.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from functions.kafka.connection import (
    MAX_MESSAGE_BYTES,
    KafkaConfigError,
    admin_client,
    answers,
    client,
    judge,
    library,
    sentence_of,
)
from functions.kafka.publisher import Publish
from functions.kafka.retries import Delays
from functions.runtime.supervised import Supervisor

log = logging.getLogger(__name__)

POLL_S = 0.1
"""Seconds that a poll waits for messages, and after which acknowledgements are sent while others are missing."""

DELIVERIES = 5
"""How often brokers deliver a message to a share group by default (group.share.delivery.count.limit)."""

ADMIN_S = 10.0
"""Seconds for the settings of the group."""


@dataclass(frozen=True, slots=True, eq=False)
class LockedMessage:
    """A message that the brokers have locked for this worker."""

    message: Any
    publish: Publish
    _acknowledge: Callable[[LockedMessage, Any], None]

    def discard(self) -> None:
        """What was published is sent."""

    def finish(self) -> None:
        """Accept the message."""
        self._acknowledge(self, library().AcknowledgeType.ACCEPT)

    def reject(self) -> None:
        """Reject the message: it is delivered no more."""
        self._acknowledge(self, library().AcknowledgeType.REJECT)

    def leave(self) -> None:
        """Release the message: it is delivered again."""
        self._acknowledge(self, library().AcknowledgeType.RELEASE)


class ShareStream:
    """Passes on the messages of a topic, from `start` until `stop`: some at a time, and the next when all are finished.

    A message that takes longer than its lock is delivered again, here or elsewhere. `limits`: of the messages that are
    handled, and of their bytes. `max_attempts`: at most `most_deliveries`, and at least one less than the brokers
    allow, because they drop a message after the last: that delivery makes the dead letter. `ended`: ends when no more
    messages are received, with the exception if it failed.
    """

    def __init__(
        self,
        properties: Mapping[str, Any],
        topic: str,
        group: str,
        limits: tuple[int, int],
        most_deliveries: int,
        publish: Publish,
        supervisor: Supervisor,
    ) -> None:
        self.ended: Future[None] = Future()
        self.delays = Delays(*limits)
        self.lag: int | None = None
        """Only the brokers know it."""
        self._topic, self._publish, self._supervisor = topic, publish, supervisor
        self._stopping, self._closing = threading.Event(), threading.Event()
        self._acknowledged: queue.SimpleQueue[tuple[LockedMessage, Any]] = queue.SimpleQueue()
        self._admin = admin_client(properties)
        self.max_attempts = min(most_deliveries, set_up_group(self._admin, group) - 1)
        config = {
            "max.poll.records": limits[0],
            "fetch.max.bytes": MAX_MESSAGE_BYTES,
            **properties,
            "group.id": group,
            "share.acknowledgement.mode": "explicit",
        }
        self._consumer = client(library().ShareConsumer, config)
        self._consumer.set_acknowledgement_commit_callback(_note)

    def start(self, receive: Callable[[LockedMessage], None], _refused: object) -> None:
        """Pass messages to `receive`, which must not block."""
        self._receive = receive
        self._thread = self._supervisor.start(f"consume-{self._topic}", self._run)

    def stop(self, *, closing: bool = False) -> None:
        """Receive no more messages. Those that were received can still be acknowledged.

        `closing`: send the acknowledgements, release the other messages and leave the group; `join` waits for it.
        """
        self._stopping.set()
        if closing:
            self._closing.set()

    def is_stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    def join(self, timeout_s: float) -> None:
        """Wait until the group is left."""
        self._thread.join(timeout_s)

    def is_reachable(self, timeout_s: float) -> bool:
        """Whether a broker answers."""
        return answers(self._admin, self._topic, timeout_s)

    def _run(self) -> None:
        try:
            self._consumer.subscribe([self._topic])
            while not self._stopping.is_set():
                self.delays.run_due()
                self._handle([each for each in self._consumer.poll(POLL_S) if self._is_message(each)])
            self._consumer.close()
        except Exception as exc:
            if not self._closing.is_set():
                self.ended.set_exception(exc)
                return
            log.warning("the consumer was not closed in order: %s", exc)
        self.ended.set_result(None)

    def _is_message(self, received: Any) -> bool:
        if error := received.error():
            judge(error)
        return not error

    def _handle(self, messages: Sequence[Any]) -> None:
        """Handle messages, and acknowledge each: the consumer gives no more before that."""
        missing = {(each.partition(), each.offset()) for each in messages}
        for message in messages:
            self._receive(LockedMessage(message, self._publish, lambda *outcome: self._acknowledged.put(outcome)))
        while missing and not self._closing.is_set():
            self.delays.run_due()
            try:
                held, outcome = self._acknowledged.get(timeout=POLL_S)
            except queue.Empty:
                self._consumer.commit_async()  # the locks of the others would end
                continue
            self._acknowledge(held.message, outcome)
            missing.discard((held.message.partition(), held.message.offset()))
        for message in messages:
            if (message.partition(), message.offset()) in missing:
                self._acknowledge(message, library().AcknowledgeType.RELEASE)

    def _acknowledge(self, message: Any, outcome: Any) -> None:
        try:
            self._consumer.acknowledge(message, outcome)
        except library().IllegalStateException as exc:
            log.warning("a message is delivered again, because its lock has ended: %s", exc)


def _note(acknowledged: Mapping[Any, Collection[int]], failure: Any) -> None:
    if failure:
        number = sum(map(len, acknowledged.values()))
        log.warning("%d messages are delivered again, because their locks have ended: %s", number, sentence_of(failure))


def set_up_group(admin: Any, group: str) -> int:
    """Have a new group begin with the oldest message. Returns how often the brokers deliver a message to the group.

    After so many deliveries they drop it. Raises KafkaConfigError when the brokers have no share groups.
    """
    from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

    begin = ConfigEntry("share.auto.offset.reset", "earliest", incremental_operation=AlterConfigOpType.SET)
    changed = ConfigResource(ResourceType.GROUP, group, incremental_configs=[begin])
    asked = ConfigResource(ResourceType.GROUP, group)
    try:
        admin.incremental_alter_configs([changed], request_timeout=ADMIN_S)[changed].result()
        found = admin.describe_configs([asked], request_timeout=ADMIN_S)[asked].result()
    except library().KafkaException as exc:
        raise KafkaConfigError(
            f"KAFKA_GROUP is 'share', and the brokers take no settings of the share group {group}: {sentence_of(exc)}; "
            "share groups need Kafka 4.2 and the right to alter and describe the settings of groups"
        ) from None
    limit = found.get("share.delivery.count.limit")
    return int(limit.value) if limit else DELIVERIES
