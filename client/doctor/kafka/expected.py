"""The topics that a Kafka cluster should have: those of topology.yaml, and one for retries of requests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from client.doctor.expected import Expected
from client.doctor.subscription_settings import short
from client.gcp import Cloud
from client.transport.topic import INLINE_LIMIT

MIN_MESSAGE_BYTES = INLINE_LIMIT + 48_576
"""Bytes of the largest message that a topic must take: an image of the size that travels in a message, and its
attributes. It is Kafka's default of max.message.bytes."""

_READ, _WRITTEN = "res_predict", "req_predict"
_DEAD = "dead_predict"


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic. `retention_ms` is how long it keeps messages at least; `rights` are the client's operations on it."""

    name: str
    retention_ms: int
    rights: tuple[str, ...]


def expected_topics(topology: Path, prefix: str) -> Iterator[Topic]:
    """Yield the topics. A topic keeps messages as long as Pub/Sub's topic and subscriptions do. Raises UsageError.

    `prefix` precedes all names and includes its hyphen.
    """
    found = Expected.read(topology, Cloud("kafka"), "", {"uploads": "uploads"})
    rights = {_WRITTEN: ("WRITE",), _READ: ("READ",), _DEAD: ("READ",)}
    for topic in found.topics:
        name = short(topic.name)
        kept_s = [each.settings.retention_s for each in found.subscriptions if each.topic == topic.name]
        retention_ms = int(1000 * max([topic.retention_s, *kept_s]))
        yield Topic(prefix + name, retention_ms, rights.get(name, ()))
        if name == _WRITTEN:
            yield Topic(f"{prefix}{name}-retry", retention_ms, ())


def workers_group(prefix: str) -> tuple[str, str]:
    """Return the consumer group of the workers, and the topic that it reads."""
    return f"{prefix}{_WRITTEN}-worker", f"{prefix}{_WRITTEN}"
