"""Creates the topology with Google's admin clients, on a Pub/Sub server that checks no credentials."""

from __future__ import annotations

from datetime import timedelta
from types import TracebackType

from google.api_core.exceptions import AlreadyExists
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.pubsub_v1 import PublisherClient, SubscriberClient, types
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from infra.local.channel import open_channel
from infra.local.topology import Subscription, Topic, Topology, TopologyError

# Settings of a subscription that an update may change.
_CHANGEABLE = (
    "ack_deadline_seconds",
    "message_retention_duration",
    "expiration_policy",
    "retry_policy",
    "dead_letter_policy",
    "push_config",
)


def create(topology: Topology, pubsub_host: str, project: str, *, push_to: str | None = None) -> None:
    """Create the topics and subscriptions on a Pub/Sub server without credentials, or update existing ones.

    `push_to`: the worker's URL without a path, which the worker's subscriptions push to; without it they are pulled.
    Raises google.api_core.exceptions.GoogleAPICallError, or TopologyError when an existing subscription has another
    topic or filter, which cannot be changed.
    """
    with Admin(pubsub_host, project) as admin:
        for topic in topology.topics:
            admin.create_topic(topic)
        for subscription in topology.subscriptions:
            admin.create_subscription(subscription, push_to)


class Admin:
    """The admin clients of one project on one channel. As a context manager it closes the channel."""

    def __init__(self, pubsub_host: str, project: str) -> None:
        self._project = project
        self._channel = open_channel(pubsub_host)
        self._publisher = PublisherClient(transport=PublisherGrpcTransport(channel=self._channel))
        self._subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=self._channel))

    def __enter__(self) -> Admin:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()

    def create_topic(self, topic: Topic) -> None:
        """Create a topic, or update its retention."""
        wanted = types.Topic(name=self._path("topics", topic.name))
        if topic.retention_s:
            wanted.message_retention_duration = _duration(topic.retention_s)
        try:
            self._publisher.create_topic(wanted)
        except AlreadyExists:
            self._publisher.update_topic(topic=wanted, update_mask=FieldMask(paths=["message_retention_duration"]))

    def create_subscription(self, subscription: Subscription, push_to: str | None) -> None:
        """Create a subscription, or update its settings. Its topics must exist."""
        wanted = types.Subscription(
            name=self._path("subscriptions", subscription.name),
            topic=self._path("topics", subscription.topic),
            ack_deadline_seconds=subscription.ack_deadline_s,
            message_retention_duration=_duration(subscription.retention_s),
            expiration_policy=types.ExpirationPolicy(),  # never expires; the default is after 31 idle days
            filter=subscription.filter,
        )
        if subscription.minimum_backoff_s is not None and subscription.maximum_backoff_s is not None:
            wanted.retry_policy = types.RetryPolicy(
                minimum_backoff=_duration(subscription.minimum_backoff_s),
                maximum_backoff=_duration(subscription.maximum_backoff_s),
            )
        if subscription.dead_letter_topic:
            wanted.dead_letter_policy = types.DeadLetterPolicy(
                dead_letter_topic=self._path("topics", subscription.dead_letter_topic),
                max_delivery_attempts=subscription.max_delivery_attempts,
            )
        if push_to and subscription.path:
            wanted.push_config = types.PushConfig(push_endpoint=push_to.rstrip("/") + subscription.path)
        try:
            self._subscriber.create_subscription(wanted)
        except AlreadyExists:
            self._update(wanted)

    def _update(self, wanted: types.Subscription) -> None:
        found = self._subscriber.get_subscription(subscription=wanted.name)
        for field in ("topic", "filter"):
            was, now = getattr(found, field), getattr(wanted, field)
            if was != now:
                raise TopologyError(
                    f"{wanted.name} exists with the {field} {was!r}, which cannot be changed to {now!r}; delete the "
                    "subscription or use another data folder"
                )
        self._subscriber.update_subscription(subscription=wanted, update_mask=FieldMask(paths=_CHANGEABLE))

    def _path(self, kind: str, name: str) -> str:
        return f"projects/{self._project}/{kind}/{name}"


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromTimedelta(timedelta(seconds=seconds))
    return duration
