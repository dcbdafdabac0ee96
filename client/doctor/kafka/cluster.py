"""Read-only calls about a Kafka cluster with the caller's rights, and the commands that change it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from client.gcp import CALL_TIMEOUT_S, KAFKA, Cloud
from client.transport.kafka_connection import check_topics, client_properties, error_name
from functions.kafka.connection import library


@dataclass(frozen=True, slots=True)
class FoundTopic:
    """A topic: its number of partitions, the fewest replicas of one, and the operations that the caller may do."""

    partitions: int
    replicas: int
    operations: frozenset[str]


@dataclass(frozen=True, slots=True)
class Group:
    """A consumer group: its members, and the messages that it has not read."""

    members: int
    lag: int


class Cluster:
    """A Kafka cluster. The calls raise KafkaException. Raises UsageError where the settings of Kafka are wrong."""

    def __init__(self, cloud: Cloud) -> None:
        self.servers = cloud.broker.removeprefix(KAFKA)
        self._properties = client_properties(cloud)
        self.user = str(self._properties.get("sasl.username", "USER"))

    def connect(self) -> None:
        """Connect. Raises SendError within ten seconds where no broker answers."""
        from confluent_kafka.admin import AdminClient

        check_topics(self._properties)
        self._admin = AdminClient(self._properties)

    def described(self) -> str:
        """Return the brokers and the version of the client's library."""
        found = self._admin.describe_cluster(request_timeout=CALL_TIMEOUT_S).result(CALL_TIMEOUT_S)
        count = len(found.nodes)
        brokers = "1 broker" if count == 1 else f"{count} brokers"
        return f"{brokers}, cluster {found.cluster_id}; this client has librdkafka {library().libversion()[0]}"

    def topic(self, name: str) -> FoundTopic | None:
        """Return a topic, or None where there is none."""
        asked = library().TopicCollection([name])
        answer = self._admin.describe_topics(asked, include_authorized_operations=True, request_timeout=CALL_TIMEOUT_S)
        try:
            found = answer[name].result(CALL_TIMEOUT_S)
        except library().KafkaException as exc:
            if error_name(exc) == "UNKNOWN_TOPIC_OR_PART":
                return None
            raise
        operations = frozenset(each.name for each in found.authorized_operations or ())
        return FoundTopic(len(found.partitions), min(len(each.replicas) for each in found.partitions), operations)

    def settings(self, name: str) -> Mapping[str, str]:
        """Return the settings of a topic."""
        from confluent_kafka.admin import ConfigResource, ResourceType

        asked = ConfigResource(ResourceType.TOPIC, name)
        [answer] = self._admin.describe_configs([asked], request_timeout=CALL_TIMEOUT_S).values()
        return {entry.name: entry.value for entry in answer.result(CALL_TIMEOUT_S).values()}

    def group(self, name: str, topic: str) -> Group | None:
        """Return a consumer group of a topic, or None where no member has read anything yet."""
        from confluent_kafka.admin import OffsetSpec

        kafka = library()
        asked = [kafka.ConsumerGroupTopicPartitions(name)]
        answer = self._admin.list_consumer_group_offsets(asked, request_timeout=CALL_TIMEOUT_S)
        kept = {each.partition: each.offset for each in answer[name].result(CALL_TIMEOUT_S).topic_partitions
                if each.topic == topic}  # fmt: skip
        if not kept:
            return None
        ends = self._admin.list_offsets(
            {kafka.TopicPartition(topic, partition): OffsetSpec.latest() for partition in kept},
            request_timeout=CALL_TIMEOUT_S,
        )
        lag = sum(max(0, end.result(CALL_TIMEOUT_S).offset - kept[of.partition]) for of, end in ends.items())
        described = self._admin.describe_consumer_groups([name], request_timeout=CALL_TIMEOUT_S)
        return Group(len(described[name].result(CALL_TIMEOUT_S).members), lag)

    def command(self, tool: str, *words: str) -> str:
        """Return a command of Kafka's own tools for this cluster."""
        return shlex.join([tool, "--bootstrap-server", self.servers, *words])

    def grant(self, operation: str, topic: str) -> str:
        """Return the command that lets the caller do an operation on a topic."""
        words = ["--add", "--allow-principal", f"User:{self.user}", "--operation", operation, "--topic", topic]
        return self.command("kafka-acls.sh", *words)
