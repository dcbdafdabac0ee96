"""Publishes the requests of dead letters on the request topic of Kafka again."""

from __future__ import annotations

from typing import Self

from client.dead_letters.dead_letter import DeadLetter
from client.gcp import UPLOAD_TIMEOUT_S, Cloud
from client.transport.kafka_connection import check_topics, client_properties, is_refused
from client.transport.kafka_publisher import KafkaPublisher


class KafkaRequests:
    """Publishes requests again; a context manager. Raises UsageError where the settings of Kafka are wrong."""

    def __init__(self, cloud: Cloud) -> None:
        self._topic, self._properties = cloud.topic, client_properties(cloud)

    def __enter__(self) -> Self:
        check_topics(self._properties, writes=self._topic)
        self._publisher = KafkaPublisher(self._properties, self._topic)
        return self

    def __exit__(self, *_: object) -> None:
        self._publisher.close()

    def publish(self, dead_letters: list[DeadLetter]) -> set[str]:
        """Publish the requests of dead letters; returns when the broker has them.

        Returns the message ids of those that are too large for the topic. Raises SendError for other errors; some of
        the requests may be published then.
        """
        refused = set[str]()
        sent = [(each, self._publisher.publish(each.data, each.request_attributes())) for each in dead_letters]
        for each, published in sent:
            try:
                published.result(UPLOAD_TIMEOUT_S)
            except Exception as exc:
                if not is_refused(exc):
                    raise self._publisher.failed(exc) from exc
                refused.add(each.message_id)
        return refused
