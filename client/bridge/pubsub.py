"""The ends of a bridge in Pub/Sub: a subscription, and a topic."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, Self

from client import emulators
from client.bridge.message import BATCH, Message
from client.gcp import CALL_TIMEOUT_S, UPLOAD_TIMEOUT_S, Cloud, pubsub_retry
from client.text import SendError, plain
from client.transport.pubsub_publisher import PubSubPublisher

_LEASE_S = int(2 * UPLOAD_TIMEOUT_S)
"""Seconds of a lease: longer than the target may take to confirm a batch."""

_PULL_S = 1.0
"""Seconds that a pull waits for the first message."""


class PubSubSource:
    """Pulls from a subscription. Raises UsageError when no project is set."""

    def __init__(self, cloud: Cloud, subscription: str) -> None:
        self.place, self._path = f"pubsub:{cloud.project}", cloud.subscription_path(subscription)
        self._ids: list[str] = []

    def __enter__(self) -> Self:
        from functions.gcp.subscriber import subscriber  # imports Google's library, which takes a moment

        emulators.check_answers(emulators.PUBSUB)
        self._client = subscriber()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._ids:
                self._call(self._client.modify_ack_deadline, ack_ids=self._ids, ack_deadline_seconds=0)
        finally:
            self._client.transport.close()

    def batch(self) -> list[Message]:
        """Pull up to BATCH messages, and lease them for longer."""
        from google.api_core.exceptions import DeadlineExceeded

        try:
            pulled = self._call(self._client.pull, timeout_s=_PULL_S, max_messages=BATCH)
        except DeadlineExceeded:
            return []
        received: list[Any] = list(pulled.received_messages)
        self._ids = [each.ack_id for each in received]
        if received:
            self._call(self._client.modify_ack_deadline, ack_ids=self._ids, ack_deadline_seconds=_LEASE_S)
        return [
            Message(
                each.message.message_id, each.message.data, dict(each.message.attributes), each.message.ordering_key
            )
            for each in received
        ]

    def confirm(self) -> None:
        """Ack the messages of the last batch."""
        self._call(self._client.acknowledge, ack_ids=self._ids)
        self._ids = []

    def _call(self, function: Any, *, timeout_s: float = CALL_TIMEOUT_S, **request: Any) -> Any:
        from google.api_core.exceptions import DeadlineExceeded, GoogleAPIError

        retry = pubsub_retry() if timeout_s == CALL_TIMEOUT_S else None
        try:
            return function(request={"subscription": self._path, **request}, retry=retry, timeout=timeout_s)
        except DeadlineExceeded:
            raise
        except GoogleAPIError as exc:
            raise SendError(f"{self._path} cannot be read: {plain(exc, self._path)}") from exc


class PubSubTarget:
    """Publishes on the request topic of a `Cloud`. Raises UsageError when no project is set."""

    def __init__(self, cloud: Cloud) -> None:
        self.place, self._cloud = f"pubsub:{cloud.project}", cloud
        self._path = cloud.topic_path(cloud.topic)

    def __enter__(self) -> Self:
        emulators.check_answers(emulators.PUBSUB)
        self._publisher = PubSubPublisher(self._cloud, ordered=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._publisher.close()

    def publish(self, message: Message) -> Future[str]:
        """Publish a message with its ordering key."""
        return self._publisher.publish(message.data, message.attributes, message.ordering_key)

    def refuses(self, exc: BaseException) -> bool:
        """Whether an error says that Pub/Sub never takes this message."""
        return "BadRequest" in {each.__name__ for each in type(exc).__mro__} or isinstance(exc, ValueError | TypeError)

    def failed(self, exc: BaseException, message: Message) -> SendError:
        """Return the error of a message that was not published."""
        return self._publisher.failed(exc, message.ordering_key)
