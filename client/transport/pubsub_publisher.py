"""Publishes on a topic of Pub/Sub."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress

from client.gcp import UPLOAD_TIMEOUT_S, Cloud, publisher, pubsub_retry
from client.text import SendError


class PubSubPublisher:
    """Publishes on the request topic. `ordered` allows ordering keys. Raises UsageError when no project is set."""

    def __init__(self, cloud: Cloud, *, ordered: bool = False) -> None:
        self._topic = cloud.topic_path(cloud.topic)
        self._client = publisher(ordered=ordered)

    def publish(self, data: bytes, attributes: Mapping[str, str], ordering_key: str = "") -> Future[str]:
        """Publish a message; the future ends when the broker has it, or with the error of the call."""
        published: Future[str] = self._client.publish(
            self._topic, data, ordering_key, retry=pubsub_retry(), timeout=UPLOAD_TIMEOUT_S, **attributes
        )
        return published

    def failed(self, exc: BaseException, ordering_key: str = "") -> SendError:
        """Return the error of a message that was not published, and let the next ones of its ordering key follow."""
        if ordering_key:
            # After most failures the library publishes nothing more of the key. After the others nothing is paused.
            with suppress(RuntimeError):
                self._client.resume_publish(self._topic, ordering_key)
        return SendError.of_call("it could not be published", exc, self._topic)

    def close(self) -> None:
        """Close the connection. Call it only when nothing is being published."""
        self._client.stop()
        self._client.transport.close()
