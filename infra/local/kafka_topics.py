"""Kafka's topics, as topology.yaml has them: `python -m infra.local.kafka_topics --bootstrap HOST:PORT` creates them.

Terraform creates the same ones on a managed cluster (infra/kafka.tf; a test compares both).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from functions.kafka.cluster_check import BrokerUnreachable, check_cluster
from functions.kafka.connection import MAX_MESSAGE_BYTES, KafkaConfigError, library, properties, sentence_of
from infra.local.topology import SHIPPED, Topic, Topology, TopologyError

PARTITIONS = 12
"""Partitions of a topic. They limit how many workers of a group handle requests at the same time; 12 is divisible by
2, 3, 4 and 6, so that as many workers get equal shares."""

RETRY = "-retry"
"""After the name of a topic of requests: that of the topic where failed ones wait for their next attempt."""

_CREATE_S = 30.0
"""Seconds for the creation of all topics."""

_SHOWN_S, _POLL_S = 5.0, 0.05
"""Seconds until the brokers show them, and between two looks."""


@dataclass(frozen=True, slots=True)
class KafkaTopic:
    """A topic, with its settings by Kafka's names."""

    name: str
    settings: Mapping[str, str]


def kafka_topics(topology: Topology) -> list[KafkaTopic]:
    """The topics of a topology, and one for retries of each topic whose requests may become dead letters.

    Kafka has one retention for a topic: the longest of the topic's and its subscriptions'.
    """

    def made(topic: Topic) -> KafkaTopic:
        kept_s = [each.retention_s for each in topology.subscriptions if each.topic == topic.name]
        retention = f"{1000 * max([topic.retention_s, *kept_s]):.0f}"
        return KafkaTopic(topic.name, {"retention.ms": retention, "max.message.bytes": str(MAX_MESSAGE_BYTES)})

    topics = {topic.name: made(topic) for topic in topology.topics}
    retried = [each.topic for each in topology.subscriptions if each.path and each.dead_letter_topic]
    return [*topics.values(), *(replace(topics[name], name=name + RETRY) for name in retried)]


def attempts(topology: Topology) -> dict[str, str]:
    """The worker's settings for the attempts and the backoff that a topology has for requests."""
    [given] = [each for each in topology.subscriptions if each.path and each.dead_letter_topic]
    return {
        "KAFKA_MAX_ATTEMPTS": str(given.max_delivery_attempts),
        "KAFKA_MIN_BACKOFF_S": f"{given.minimum_backoff_s:g}",
        "KAFKA_MAX_BACKOFF_S": f"{given.maximum_backoff_s:g}",
    }


def connection_of(bootstrap: str) -> dict[str, Any]:
    """The properties for these addresses, with KAFKA_CONFIG and KAFKA_OAUTH. Raises KafkaConfigError."""
    return properties(bootstrap, os.environ.get("KAFKA_CONFIG", ""), os.environ.get("KAFKA_OAUTH", ""))


def create(
    connection: Mapping[str, Any], topics: Sequence[KafkaTopic], *, partitions: int = PARTITIONS, replicas: int = -1
) -> list[str]:
    """Create the topics that are missing, and return their names; existing ones stay as they are.

    `replicas`: -1 for the brokers' default. Raises BrokerUnreachable, also where the right to create is missing.
    """
    check_cluster(connection, {})
    kafka = library()
    administration = import_module("confluent_kafka.admin")
    new = [administration.NewTopic(each.name, partitions, replicas, config=dict(each.settings)) for each in topics]
    created = []
    admin = administration.AdminClient(dict(connection))  # lives for as long as its futures are waited for
    for name, done in admin.create_topics(new, operation_timeout=_CREATE_S).items():
        try:
            done.result(_CREATE_S)
            created.append(name)
        except kafka.KafkaException as exc:
            if exc.args[0].code() != kafka.KafkaError.TOPIC_ALREADY_EXISTS:
                raise BrokerUnreachable(f"the topic {name} cannot be created: {sentence_of(exc)}") from None
    _wait_until_shown(admin, created)
    return created


def _wait_until_shown(admin: Any, names: Sequence[str]) -> None:
    """Wait until the brokers show these topics, some milliseconds after their creation.

    After _SHOWN_S they are taken for topics that this user may create and not describe. Raises BrokerUnreachable.
    """
    until = time.monotonic() + _SHOWN_S
    try:
        while set(names) - set(admin.list_topics(timeout=_CREATE_S).topics) and time.monotonic() < until:
            time.sleep(_POLL_S)
    except library().KafkaException as exc:
        raise BrokerUnreachable(f"the new topics cannot be listed: {sentence_of(exc)}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m infra.local.kafka_topics",
        description="Create the topics of topology.yaml on a Kafka cluster. KAFKA_CONFIG and KAFKA_OAUTH say how to "
        "connect, as for the worker. Topics that exist stay as they are.",
    )
    given = os.environ.get("KAFKA_BOOTSTRAP")
    parser.add_argument(
        "--bootstrap", default=given, required=not given, metavar="HOST:PORT,...", help="default: KAFKA_BOOTSTRAP"
    )
    parser.add_argument("--prefix", default="", help="put before each name, such as dev-")
    parser.add_argument("--partitions", type=int, default=PARTITIONS, metavar="N", help=f"of each topic ({PARTITIONS})")
    parser.add_argument(
        "--replicas", type=int, default=-1, metavar="N", help="of each partition (the brokers' default)"
    )
    parser.add_argument("--topology", type=Path, default=SHIPPED, metavar="FILE", help="default: infra/topology.yaml")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Create the topics on a cluster; prints each that is new."""
    options = _parser().parse_args(argv)
    try:
        wanted = kafka_topics(Topology.read(options.topology))
        topics = [replace(each, name=options.prefix + each.name) for each in wanted]
        connection = connection_of(options.bootstrap)
        for name in create(connection, topics, partitions=options.partitions, replicas=options.replicas):
            print(f"created: {name}")
    except (BrokerUnreachable, KafkaConfigError, TopologyError) as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
