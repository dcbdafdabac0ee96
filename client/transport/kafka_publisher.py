"""Publishes on a topic of Kafka: a message counts as published when the broker has confirmed it."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from client.gcp import BATCH_DELAY_S, CALL_TIMEOUT_S, UPLOAD_TIMEOUT_S
from client.text import SendError
from client.transport.kafka_connection import send_error
from functions.kafka.connection import MAX_MESSAGE_BYTES, library, log_error
from functions.kafka.message_headers import headers_of

_BATCH_BYTES = 100_000
"""Bytes of the messages that travel together; a larger message travels alone. A broker refuses a batch over a topic's
max.message.bytes as a whole, so no message is refused because of others where a topic allows this much."""

_POLL_S = 0.1
"""Seconds that the thread which takes confirmations waits for the next one."""


class KafkaPublisher:
    """Publishes on one topic, with the request id as the key. Callable from any thread.

    `connection`: librdkafka's properties.
    """

    def __init__(self, connection: Mapping[str, Any], topic: str) -> None:
        ours = {
            "message.max.bytes": MAX_MESSAGE_BYTES,
            "message.timeout.ms": int(UPLOAD_TIMEOUT_S * 1000),
            "enable.idempotence": True,
        }
        tuning = {"linger.ms": BATCH_DELAY_S * 1000, "batch.size": _BATCH_BYTES}
        self._topic, self._partitions = topic, 0
        self._fatal: Any = None
        """The error after which the producer can send nothing more."""
        self._producer = library().Producer({**tuning, **connection, **ours, "error_cb": log_error})
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._confirm, name="kafka-confirmations", daemon=True)
        self._thread.start()

    def publish(
        self, data: bytes, attributes: Mapping[str, str], ordering_key: str = "", *, key: str = ""
    ) -> Future[str]:
        """Publish a message; the future ends when the broker has it. Raises KafkaException and BufferError.

        Messages with the same ordering key go to the same partition. `key` is the key of the message; without it, that
        is the attribute request_id.
        """
        if self._fatal:
            raise library().KafkaException(self._fatal)
        published: Future[str] = Future()

        def end(error: Any, message: Any) -> None:
            if error:
                published.set_exception(library().KafkaException(self._fatal or error))
            else:
                published.set_result(f"{message.partition()}:{message.offset()}")

        partition = {"partition": self._partition_of(ordering_key)} if ordering_key else {}
        self._producer.produce(
            self._topic,
            value=data,
            key=(key or attributes.get("request_id", "")).encode(),
            headers=headers_of(attributes),
            on_delivery=end,
            **partition,
        )
        return published

    def failed(self, exc: BaseException, ordering_key: str = "") -> SendError:
        """Return the error of a message that was not published."""
        return send_error("it could not be published", exc, f"the topic {self._topic}")

    @property
    def cluster(self) -> str:
        """The id of the cluster. Raises KafkaException."""
        return str(self._producer.list_topics(timeout=CALL_TIMEOUT_S).cluster_id)

    def close(self) -> None:
        """Close the connection. Call it only when nothing is being published."""
        self._producer.flush(CALL_TIMEOUT_S)
        self._closed.set()
        self._thread.join()

    def _confirm(self) -> None:
        while not self._closed.is_set():
            try:
                self._producer.poll(_POLL_S)
            except library().KafkaException as exc:
                self._fatal = exc.args[0]
                self._producer.purge()  # or what is under way would wait until its time is over

    def _partition_of(self, ordering_key: str) -> int:
        if not self._partitions:
            found = self._producer.list_topics(self._topic, CALL_TIMEOUT_S).topics[self._topic]
            if found.error:
                raise library().KafkaException(found.error)
            self._partitions = len(found.partitions)
        return zlib.crc32(ordering_key.encode()) % self._partitions
