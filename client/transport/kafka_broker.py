"""Kafka as the broker that the client sends through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Unpack

from client.gcp import Cloud
from client.transport.kafka_connection import check_topics, client_properties
from client.transport.kafka_publisher import KafkaPublisher
from client.transport.kafka_responses import KafkaResponses
from client.transport.receiving import Receiving


class Kafka:
    """A cluster of Kafka brokers. Raises UsageError where its settings are wrong, or the library is missing."""

    shared_responses = "predictions-collect"
    """The consumer group of collectors."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud, self._properties = cloud, client_properties(cloud)

    def check(self, *, writes: str = "", reads: str = "") -> None:
        """Check that a broker answers, has the topics and lets them be used. Raises SendError within ten seconds."""
        check_topics(self._properties, writes=writes, reads=reads)

    def publisher(self, *, ordered: bool = False) -> KafkaPublisher:
        """Return a publisher on the request topic. Each of them keeps the order of an ordering key."""
        return KafkaPublisher(self._properties, self._cloud.topic)

    def responses(
        self,
        on_response: Callable[[Any], None],
        on_failure: Callable[[str], None],
        log: Callable[[str], None],
        **how: Unpack[Receiving],
    ) -> KafkaResponses:
        """Return the reader of the response topic."""
        return KafkaResponses(self._properties, self._cloud.response_topic, on_response, on_failure, log, **how)
