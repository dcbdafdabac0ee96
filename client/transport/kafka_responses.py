"""Reads responses from a topic of Kafka: from its end, or from where a job or a consumer group has got to."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Self

from client.gcp import CALL_TIMEOUT_S, RETRY_S
from client.text import StoreError, plain
from client.transport.kafka_connection import READ_COMMITTED, lasts, reason, send_error
from client.transport.kafka_message import attributes_of
from client.transport.kafka_positions import Positions
from client.transport.receiving import Decode, Journal, pass_on
from functions.kafka.connection import library

_POLL_S = 0.2
"""Seconds of one wait for a response, after which the thread looks whether it must end."""

_COMMIT_S = 1.0
"""Seconds between two commits: after a kill, the responses of so many seconds are read again."""

GROWTH_S = 60.0
"""Seconds between two looks at whether the topic got further partitions."""

_QUEUED_KB = 16_384
"""Kilobytes of responses in memory that wait to be read."""


class KafkaResponses:
    """Receives the responses for one client; a context manager. The arguments are those of ResponseSubscription.

    A client reads all partitions from their present end. With a `client_id` or a `subscription`, which is a consumer
    group here, it goes on where an earlier client with that has got to. The group of a `client_id` is deleted at the
    end, unless `keep` returns True. With a `subscription` and `all_clients`, the members of the group share the
    partitions, and a new group begins with the oldest response. A response is committed when a response would be acked.
    """

    def __init__(
        self,
        connection: Mapping[str, Any],
        topic: str,
        on_response: Callable[[Any], None],
        on_failure: Callable[[str], None],
        log: Callable[[str], None],
        *,
        subscription: str = "",
        all_clients: bool = False,
        retry_s: float = RETRY_S,
        client_id: str = "",
        keep: Callable[[], bool] = bool,
        must_exist: bool = False,
        journal: Journal | None = None,
        decode: Decode | None = None,
    ) -> None:
        self.client_id, self.is_new = client_id or uuid.uuid4().hex, False
        self._is_shared, self._is_kept = bool(subscription) and all_clients, bool(client_id or subscription)
        self._group = subscription or f"{topic}-{self.client_id}"
        self.path = self._group if self._is_kept else topic
        self._topic, self._timeout_s = topic, min(CALL_TIMEOUT_S, retry_s)
        self._on_response, self._on_failure, self._log = on_response, on_failure, log
        self._reply_to, self._decode, self._journal = None if all_clients else self.client_id, decode, journal
        self._temporary, self._must_exist, self._keep = not subscription, must_exist, keep
        self._connection, self._silent = connection, False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read, name="kafka-responses", daemon=True)

    def __enter__(self) -> Self:
        kafka = library()
        self._consumer = kafka.Consumer(
            {
                "queued.max.messages.kbytes": _QUEUED_KB,
                **self._connection,
                **READ_COMMITTED,
                "group.id": self._group,
                "auto.offset.reset": "earliest",
                "partition.assignment.strategy": "cooperative-sticky",
                "error_cb": self._warn,
            }
        )
        self._positions = Positions(self._consumer, self._topic, self._timeout_s)
        try:
            if self._is_shared:
                self._consumer.subscribe([self._topic], on_revoke=self._revoked, on_lost=self._lost)
            else:
                self.is_new = self._positions.begin(kept=self._is_kept, must_exist=self._must_exist)
        except kafka.KafkaException as exc:
            self._consumer.close()
            raise send_error("the responses cannot be read", exc, f"the topic {self._topic}", self._group) from exc
        except BaseException:
            self._consumer.close()
            raise
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        is_saved = self._save()
        self._ended.set()
        self._thread.join(CALL_TIMEOUT_S)
        is_saved = is_saved and self._save()
        try:
            if self._is_kept:
                self._positions.commit()
        except library().KafkaException as failed:
            self._log(f"{reason(failed, self._group)}: the last responses will be read again")
        self._consumer.close()
        if is_saved and self._temporary and self._is_kept and not self._keep():
            self._delete_group()

    def _read(self) -> None:
        """Read until the end, in a thread of its own. Whatever ends it earlier goes to `on_failure`."""
        commit_at = grow_at = time.monotonic()
        try:
            while not self._ended.is_set():
                message = self._consumer.poll(_POLL_S)
                if message is not None and not self._take(message):
                    return
                now = time.monotonic()
                if self._is_kept and now > commit_at + _COMMIT_S:
                    self._positions.commit(wait=False)
                    commit_at = now
                if not self._is_shared and now > grow_at + GROWTH_S:
                    self._positions.grow()
                    grow_at = now
        except library().KafkaException as exc:
            self._fail(reason(exc, f"the topic {self._topic}", self._group))
        except Exception as exc:
            self._fail(plain(exc))

    def _take(self, message: Any) -> bool:
        """Pass a message on. Returns False where no more can be received."""
        if error := message.error():
            if lasts(error):
                self._fail(reason(error, f"the topic {self._topic}", self._group))
            return not lasts(error)
        self._silent = False
        data, attributes = message.value() or b"", attributes_of(message)
        try:
            pass_on(data, attributes, self._on_response, self._log, reply_to=self._reply_to, decode=self._decode)
        except OSError as exc:
            self._fail(plain(exc))
            return False
        done = partial(self._positions.done, message.partition(), message.offset())
        if self._journal:
            self._journal.when_saved(done)
        else:
            done()
        return True

    def _fail(self, why: str) -> None:
        self._on_failure(f"responses can no longer be received: {why}")

    def _warn(self, error: Any) -> None:
        """Tell once that no broker answers; the library tries again by itself."""
        if lasts(error):
            self._fail(reason(error, "the broker"))
        elif error.name() == "_ALL_BROKERS_DOWN" and not self._silent:
            self._silent = True
            self._log("no Kafka broker answers; it is tried again until the command ends")

    def _revoked(self, consumer: Any, partitions: list[Any]) -> None:
        """Commit what was read of partitions that another member of the group gets."""
        self._positions.commit()
        self._lost(consumer, partitions)

    def _lost(self, consumer: Any, partitions: list[Any]) -> None:
        self._positions.forget(each.partition for each in partitions)

    def _save(self) -> bool:
        """Whether all responses are saved. Those that are not stay uncommitted."""
        try:
            if self._journal:
                self._journal.save()
        except StoreError as exc:
            self._on_failure(plain(exc))
            return False
        return True

    def _delete_group(self) -> None:
        from confluent_kafka.admin import AdminClient

        try:
            admin = AdminClient(dict(self._connection))  # without this reference, its answer would be lost
            deleted = admin.delete_consumer_groups([self._group], request_timeout=self._timeout_s)
            deleted[self._group].result(self._timeout_s + 1)
        except Exception as exc:
            self._log(f"group {self._group} could not be deleted ({reason(exc, 'it')}); it expires after seven days")
