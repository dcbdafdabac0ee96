"""Chooses the ends of a bridge by the addresses of their brokers."""

from __future__ import annotations

from client.bridge.message import Source, Target
from client.bridge.pubsub import PubSubSource, PubSubTarget
from client.gcp import Cloud


def source_of(cloud: Cloud, name: str) -> Source:
    """Return the source of messages on the request topic of a `Cloud`, not opened yet. Raises UsageError.

    `name`: the subscription or consumer group; without it, the subscription of the topology or the bridge's own group.
    """
    if not cloud.broker:
        return PubSubSource(cloud, name or f"{cloud.topic.rpartition('/')[2]}-sub")
    from client.bridge.kafka import KafkaSource  # needs a library that Pub/Sub does not

    return KafkaSource(cloud, name or f"{cloud.topic}-bridge")


def target_of(cloud: Cloud) -> Target:
    """Return the target that publishes on the request topic of a `Cloud`, not opened yet. Raises UsageError."""
    if not cloud.broker:
        return PubSubTarget(cloud)
    from client.bridge.kafka import KafkaTarget

    return KafkaTarget(cloud)
