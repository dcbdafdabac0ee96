"""Reads and checks topology.yaml: topics, subscriptions, buckets and notifications.

Terraform creates them in the cloud; admin.py creates them on any Pub/Sub server.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from infra.local.yaml_fields import Fields, TopologyError
from model.text import read_text, reason

SHIPPED = Path(__file__).resolve().parents[1] / "topology.yaml"

__all__ = ["SHIPPED", "Bucket", "Notification", "Subscription", "Topic", "Topology", "TopologyError"]


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic. `retention_s`: seconds for which messages can be replayed, 0 for none."""

    name: str
    retention_s: float = 0


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription; times are in seconds. `path`: the worker's path for push, empty when it is never pushed."""

    name: str
    topic: str
    path: str
    ack_deadline_s: int
    retention_s: float
    filter: str = ""
    minimum_backoff_s: float | None = None
    maximum_backoff_s: float | None = None
    dead_letter_topic: str = ""
    max_delivery_attempts: int = 0


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket, with its name on the twin."""

    name: str


@dataclass(frozen=True, slots=True)
class Notification:
    """A bucket's notifications to a topic."""

    bucket: str
    topic: str
    event_types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Topology:
    """The content of the file."""

    topics: tuple[Topic, ...]
    subscriptions: tuple[Subscription, ...]
    buckets: tuple[Bucket, ...] = ()
    notifications: tuple[Notification, ...] = ()

    @classmethod
    def read(cls, path: Path = SHIPPED) -> Topology:
        """Read a file. Raises TopologyError, which names the field and the allowed values."""
        try:
            content = yaml.safe_load(read_text(path))
        except (OSError, yaml.YAMLError, ValueError) as exc:
            raise TopologyError(f"{path} cannot be read: {reason(exc)}") from exc
        try:
            return cls.parse(content)
        except TopologyError as exc:
            raise TopologyError(f"{path.name}: {exc}") from exc

    @classmethod
    def parse(cls, content: object) -> Topology:
        """Parse the file's content: a mapping of topics, subscriptions, buckets and notifications."""
        root = Fields("", content)
        topics = tuple(_topic(each) for each in root.items("topics"))
        names = [topic.name for topic in topics]
        subscriptions = tuple(_subscription(each, names) for each in root.items("subscriptions"))
        buckets = tuple(_bucket(each) for each in root.items("buckets"))
        held = [bucket.name for bucket in buckets]
        notifications = tuple(_notification(each, names, held) for each in root.items("notifications"))
        root.done()
        return cls(topics, subscriptions, buckets, notifications)

    def with_retry(self, minimum_s: float, maximum_s: float, max_delivery_attempts: int = 0) -> Topology:
        """A copy with another backoff where there is one, and other attempts (0 keeps them); for tests."""

        def retried(each: Subscription) -> Subscription:
            if each.dead_letter_topic and max_delivery_attempts:
                each = replace(each, max_delivery_attempts=max_delivery_attempts)
            if each.minimum_backoff_s is None:
                return each
            return replace(each, minimum_backoff_s=minimum_s, maximum_backoff_s=maximum_s)

        return replace(self, subscriptions=tuple(map(retried, self.subscriptions)))


def _topic(fields: Fields) -> Topic:
    topic = Topic(fields.name, fields.seconds("retention", 0))
    fields.done()
    return topic


def _subscription(fields: Fields, topics: list[str]) -> Subscription:
    retry, dead = fields.part("retry"), fields.part("dead_letter")
    delivery = fields.choice("delivery", ["worker", "pull"])
    subscription = Subscription(
        fields.name,
        fields.choice("topic", topics),
        fields.text("path") if delivery == "worker" else "",
        fields.number("ack_deadline_seconds", 10, 600),
        fields.seconds("retention"),
        fields.text("filter", ""),
        retry.seconds("minimum_backoff") if retry else None,
        retry.seconds("maximum_backoff") if retry else None,
        dead.choice("topic", topics) if dead else "",
        dead.number("max_delivery_attempts", 5, 100) if dead else 0,
    )
    for part in (retry, dead, fields):
        if part:
            part.done()
    if subscription.path and not subscription.path.startswith("/"):
        raise fields.wrong("path", "a path such as /dead")
    return subscription


def _bucket(fields: Fields) -> Bucket:
    fields.number("delete_after_days", 1, 36_500, default=1)  # only in the cloud; the twin deletes nothing by age
    fields.done()
    return Bucket(fields.name)


def _notification(fields: Fields, topics: list[str], buckets: list[str]) -> Notification:
    notification = Notification(
        fields.choice("bucket", buckets), fields.choice("topic", topics), fields.texts("event_types")
    )
    fields.done()
    return notification
