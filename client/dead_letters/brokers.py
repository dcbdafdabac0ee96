"""Dead letters of both brokers: Pub/Sub keeps them on a subscription, Kafka on a topic."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Protocol, Self

from client.dead_letters.dead_letter import DeadLetter
from client.dead_letters.request_publisher import RequestPublisher
from client.dead_letters.subscription import PAGE, DeadLetterSubscription
from client.gcp import Cloud


class DeadLetters(Protocol):
    """The dead letters that are neither redriven nor purged; a context manager. Raises SendError and GoogleAPIError.

    `path` names where they are, and `until` says when `pages` ends.
    """

    @property
    def path(self) -> str: ...

    @property
    def until(self) -> str: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def pages(self, size: int = PAGE) -> Iterator[list[DeadLetter]]:
        """Yield every dead letter once, in pages of at most `size`."""
        ...

    def ack(self, message_ids: Iterable[str]) -> None:
        """Never yield these again, which were yielded."""
        ...

    def delete(self, message_ids: Iterable[str]) -> None:
        """Delete these, which were yielded, for good."""
        ...


class Requests(Protocol):
    """Publishes requests again; a context manager."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def publish(self, dead_letters: list[DeadLetter]) -> set[str]:
        """Publish the requests of dead letters; returns when the broker has them.

        Returns the message ids of those that the broker refuses, whatever is tried. Raises SendError for other errors.
        """
        ...


def dead_letters_of(cloud: Cloud, name: str, log: Callable[[str], None]) -> DeadLetters:
    """Return the dead letters on a subscription or topic, by default those of the topology, not opened yet."""
    if not cloud.broker:
        return DeadLetterSubscription(cloud.subscription_path(name or "dead_predict-sub"), log)
    from client.dead_letters.kafka_topic import DeadLetterTopic  # needs a library that Pub/Sub does not

    return DeadLetterTopic(cloud, name or "dead_predict", log)


def requests_of(cloud: Cloud) -> Requests:
    """Return the publisher on the request topic, not opened yet. Raises UsageError."""
    if not cloud.broker:
        return RequestPublisher(cloud)
    from client.dead_letters.kafka_requests import KafkaRequests

    return KafkaRequests(cloud)
