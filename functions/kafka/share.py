"""A consumer of a share group: the brokers lock each message for a while, for one of any number of workers.

Share groups need Kafka 4.2, and confluent-kafka calls its ShareConsumer a preview.
"""

from __future__ import annotations

import json
import logging
import queue
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from functions.kafka.connection import (
    MAX_MESSAGE_BYTES,
    ConsumerBroke,
    KafkaConfigError,
    client,
    judge,
    library,
    sentence_of,
)
from functions.kafka.publisher import Publish
from functions.kafka.retries import Delays
from functions.kafka.stream import TopicStream
from functions.runtime.supervised import Supervisor

log = logging.getLogger(__name__)

POLL_S = 0.1
"""Seconds that a poll waits for messages, and after which acknowledgements are sent while others are missing."""

DELIVERIES = 5
"""How often brokers deliver a message to a share group by default (group.share.delivery.count.limit)."""

ADMIN_S = 10.0
"""Seconds for the settings of the group."""

JOIN_S = 40.0
"""Seconds in which a worker must have joined its share group: two heartbeats, at most 15 s apart. With brokers
that know the settings of share groups, but not the groups, as Kafka 4.0 and 4.1, it tries forever in silence."""

STATE_MS = 1_000
"""Milliseconds from one report of the consumer's state to the next."""


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


class ShareStream(TopicStream[LockedMessage]):
    """Passes on the messages of a topic: some at a time, and the next when all are finished.

    A message that takes longer than its lock is delivered again, here or elsewhere. `limits`: of the messages that are
    handled, and of their bytes. `max_attempts`: at most `most_deliveries`, and at least one less than the brokers
    allow, because they drop a message after the last: that delivery makes the dead letter.
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
        super().__init__(properties, topic, group, supervisor)
        self.delays = Delays(*limits)
        self.lag: int | None = None
        """Only the brokers know it."""
        self._publish = publish
        self._acknowledged: queue.SimpleQueue[tuple[LockedMessage, Any]] = queue.SimpleQueue()
        self.max_attempts = min(most_deliveries, set_up_group(self._admin, group) - 1)
        config = {
            "max.poll.records": limits[0],
            "fetch.max.bytes": MAX_MESSAGE_BYTES,
            **properties,
            "group.id": group,
            "share.acknowledgement.mode": "explicit",
            "statistics.interval.ms": STATE_MS,
            "stats_cb": self._note_state,
        }
        self._has_joined = False
        self._consumer = client(library().ShareConsumer, config)
        self._consumer.set_acknowledgement_commit_callback(_note)

    def _consume(self) -> None:
        self._consumer.subscribe([self._topic])
        join_by = time.monotonic() + JOIN_S
        while not self._stopping.is_set():
            self.delays.run_due()
            received = self._consumer.poll(POLL_S)
            self._has_joined = self._has_joined or bool(received)
            self._handle([each for each in received if self._is_message(each)])
            if not self._has_joined and time.monotonic() > join_by:
                raise ConsumerBroke(
                    f"it could not join the share group {self._group} within {JOIN_S:g} s: share groups need Kafka 4.2"
                )
        self._consumer.close()

    def _note_state(self, statistics: str) -> None:
        self._has_joined = self._has_joined or json.loads(statistics)["cgrp"]["join_state"] == "steady"

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
            "share groups need Kafka 4.2 and the right AlterConfigs on the group"
        ) from None
    limit = found.get("share.delivery.count.limit")
    return int(limit.value) if limit else DELIVERIES
