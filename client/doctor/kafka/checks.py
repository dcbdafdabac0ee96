"""The checks of a Kafka cluster, in the order in which a request passes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from client.doctor.finding import Finding, fail, ok, warn
from client.doctor.kafka.cluster import Cluster, FoundTopic
from client.doctor.kafka.expected import MIN_MESSAGE_BYTES, Topic
from client.doctor.subscription_settings import duration
from client.text import SendError
from client.transport.kafka_connection import error_name, reason
from functions.kafka.connection import MAX_MESSAGE_BYTES, library

BROKER = "broker"

_PARTITIONS = 12
"""Partitions of a topic in the printed command: as many workers at most share its requests."""

_LARGEST = f"max.message.bytes={MAX_MESSAGE_BYTES}"
"""The setting of a topic in the printed commands: the worker reads messages of this size."""

_WORKER = "python -m functions.entrypoints.kafka_worker"


def subjects(topics: Sequence[Topic], group: str) -> list[str]:
    """Return the subjects of all findings."""
    return [BROKER, *(f"topic {topic.name}" for topic in topics), f"group {group}"]


def run_checks(cluster: Cluster, topics: Sequence[Topic], group: str, topic: str) -> Iterator[Finding]:
    """Yield the findings. `group` is the workers' consumer group, and `topic` what it reads."""
    try:
        cluster.connect()
        yield ok(BROKER, cluster.described())
    except SendError as exc:
        yield fail(BROKER, str(exc), cluster.command("kafka-broker-api-versions.sh"))
        return
    except library().KafkaException as exc:
        yield fail(BROKER, reason(exc, "the cluster"), cluster.command("kafka-broker-api-versions.sh"))
        return
    for each in topics:
        yield from _reported(f"topic {each.name}", cluster, each.name, _check_topic(cluster, each))
    yield from _reported(f"group {group}", cluster, topic, _check_group(cluster, group, topic))


def _reported(subject: str, cluster: Cluster, topic: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """Yield findings; one that says so where the check failed."""
    try:
        yield from findings
    except library().KafkaException as exc:
        is_forbidden = error_name(exc).endswith("AUTHORIZATION_FAILED")
        fix = cluster.grant("Describe", topic) if is_forbidden else cluster.command("kafka-broker-api-versions.sh")
        yield fail(subject, f"could not be checked: {reason(exc, topic)}", fix)


def _check_topic(cluster: Cluster, expected: Topic) -> Iterator[Finding]:
    subject = f"topic {expected.name}"
    found = cluster.topic(expected.name)
    if found is None:
        words = ["--create", "--topic", expected.name, "--partitions", str(_PARTITIONS)]
        for setting in (f"retention.ms={expected.retention_ms}", _LARGEST):
            words += ["--config", setting]
        yield fail(subject, "does not exist", cluster.command("kafka-topics.sh", *words))
        return
    problems = [*_rights(cluster, expected, found), *_settings(cluster, expected)]
    yield from problems
    if not problems:
        kept = f", keeps messages for {duration(expected.retention_ms / 1000)}" if expected.retention_ms else ""
        replicas = f"{found.replicas} replica{'' if found.replicas == 1 else 's'}"
        yield ok(subject, f"{found.partitions} partitions, {replicas}{kept}")


def _rights(cluster: Cluster, expected: Topic, found: FoundTopic) -> Iterator[Finding]:
    for operation in expected.rights if found.operations else ():
        if operation not in found.operations:
            name = operation.capitalize()
            yield fail(f"topic {expected.name}", f"you may not {name.lower()} it", cluster.grant(name, expected.name))


def _settings(cluster: Cluster, expected: Topic) -> Iterator[Finding]:
    subject = f"topic {expected.name}"
    try:
        settings = cluster.settings(expected.name)
    except library().KafkaException as exc:
        if not error_name(exc).endswith("AUTHORIZATION_FAILED"):
            raise
        yield warn(subject, "its settings could not be read", cluster.grant("DescribeConfigs", expected.name))
        return
    kept_ms, most = int(settings["retention.ms"]), int(settings["max.message.bytes"])
    if 0 <= kept_ms < expected.retention_ms:
        message = f"keeps messages for {duration(kept_ms / 1000)}, not {duration(expected.retention_ms / 1000)}"
        yield warn(subject, message, _alter(cluster, expected.name, f"retention.ms={expected.retention_ms}"))
    if most < MIN_MESSAGE_BYTES:
        message = f"takes messages of {most:,} bytes at most; the client sends images of {MIN_MESSAGE_BYTES:,}"
        yield fail(subject, message, _alter(cluster, expected.name, _LARGEST))


def _check_group(cluster: Cluster, group: str, topic: str) -> Iterator[Finding]:
    subject = f"group {group}"
    found = cluster.group(group, topic)
    if found is None:
        yield warn(subject, "no worker has read a request yet; those of a share group are not seen", _WORKER)
        return
    waiting = "1 request waits" if found.lag == 1 else f"{found.lag:,} requests wait"
    if not found.members:
        yield (fail if found.lag else warn)(subject, f"no worker is running, {waiting}", _WORKER)
        return
    yield ok(subject, f"{found.members} worker{'' if found.members == 1 else 's'}, {waiting}")


def _alter(cluster: Cluster, topic: str, setting: str) -> str:
    words = ["--alter", "--entity-type", "topics", "--entity-name", topic, "--add-config", setting]
    return cluster.command("kafka-configs.sh", *words)
