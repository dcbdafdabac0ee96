"""The brokers that the client sends through: Pub/Sub and Kafka, chosen by the address of the broker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, Unpack

from client import emulators
from client.gcp import Cloud
from client.transport.base import Publisher
from client.transport.pubsub_publisher import PubSubPublisher
from client.transport.receiving import Receiving, Responses
from client.transport.response_subscription import ResponseSubscription


class Broker(Protocol):
    """Where the topics of a `Cloud` are."""

    def check(self, *, writes: str = "", reads: str = "") -> None:
        """Check soon that the broker answers, and lets these topics be used, as far as that costs little.

        Raises UsageError and SendError.
        """
        ...

    def publisher(self, *, ordered: bool = False) -> Publisher:
        """Return a publisher on the request topic. `ordered` allows ordering keys."""
        ...

    def responses(
        self,
        on_response: Callable[[Any], None],
        on_failure: Callable[[str], None],
        log: Callable[[str], None],
        **how: Unpack[Receiving],
    ) -> Responses:
        """Return what receives responses, not opened yet. The arguments are those of ResponseSubscription."""
        ...

    @property
    def shared_responses(self) -> str:
        """The subscription or consumer group from which collectors receive all responses."""
        ...


class PubSub:
    """Google Cloud Pub/Sub, or an emulator of it."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def check(self, *, writes: str = "", reads: str = "") -> None:
        """Check that an emulator answers where one is named. The cloud's errors come with the first call."""
        emulators.check_answers(emulators.PUBSUB)

    def publisher(self, *, ordered: bool = False) -> PubSubPublisher:
        """Return a publisher on the request topic."""
        return PubSubPublisher(self._cloud, ordered=ordered)

    def responses(
        self,
        on_response: Callable[[Any], None],
        on_failure: Callable[[str], None],
        log: Callable[[str], None],
        **how: Unpack[Receiving],
    ) -> ResponseSubscription:
        """Return the subscription to the response topic."""
        return ResponseSubscription(self._cloud, on_response, on_failure, log, **how)

    @property
    def shared_responses(self) -> str:
        """The subscription that every deployment has."""
        return f"{self._cloud.response_topic.rpartition('/')[2]}-sub"


def broker_of(cloud: Cloud) -> Broker:
    """Return the broker that has the topics. Raises UsageError where Kafka's library is missing."""
    if not cloud.broker:
        return PubSub(cloud)
    from client.transport.kafka_broker import Kafka  # needs a library that Pub/Sub does not

    return Kafka(cloud)


def check_reachable(cloud: Cloud, *, bucket: str = "") -> None:
    """Check that what a command publishes to answers: the broker, and Cloud Storage where a bucket is named.

    Raises UsageError and SendError.
    """
    broker_of(cloud).check(writes=cloud.topic, reads=cloud.response_topic)
    if bucket:
        emulators.check_answers(emulators.STORAGE)
