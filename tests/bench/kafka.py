"""The setup of a load test over Kafka: a real broker, a worker and the client, each in its own process."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

from functions.kafka.connection import library
from functions.kafka.message_headers import headers_of
from functions.kafka.publisher import OutMessage, TopicProducer
from functions.runtime.supervised import Supervisor
from tests.bench.parts import Hearing
from tests.kafka_broker import Broker, KafkaTopics, missing

COMMAND = [sys.executable, "-m", "functions.entrypoints.kafka_worker"]


@cache
def is_there() -> bool:
    """Whether there is a broker, or can be one; says once why not."""
    reason = "" if os.environ.get("KAFKA_BOOTSTRAP") else missing()
    if reason:
        print(f"Kafka is not measured: {reason}", file=sys.stderr)
    return not reason


@contextmanager
def topics() -> Iterator[KafkaTopics]:
    """New topics on the broker that KAFKA_BOOTSTRAP names, or on one of their own."""
    with ExitStack() as stack:
        bootstrap = os.environ.get("KAFKA_BOOTSTRAP")
        if not bootstrap:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="kafka-"))
            broker = Broker(Path(folder))
            stack.callback(broker.stop)
            bootstrap = broker.bootstrap
        made = KafkaTopics(bootstrap)
        made.create()
        yield made


class Producing(Hearing):
    """Publishes to the request topic and hears the response topic."""

    def __init__(self, topics: KafkaTopics) -> None:
        super().__init__()
        self._topic, self._closing = topics.requests, threading.Event()
        properties = {"bootstrap.servers": topics.bootstrap}
        self._producer = TopicProducer(properties, Supervisor())
        kafka = library()
        group = {"group.id": uuid.uuid4().hex, "enable.auto.commit": False}
        self._consumer = kafka.Consumer({**properties, **group})
        places = [kafka.TopicPartition(topics.responses, number, 0) for number in range(topics.partitions)]
        self._consumer.assign(places)
        self._thread = Supervisor().start("hear", self._read)

    def send(self, image: bytes) -> str:
        """Publish, without waiting for the broker; gives the request's id."""
        request_id = uuid.uuid4().hex
        attributes = {"request_id": request_id}
        self._producer.publish(OutMessage(self._topic, request_id.encode(), image, headers_of(attributes)))
        return request_id

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
        self._consumer.close()
        self._producer.close(10)

    def _read(self) -> None:
        while not self._closing.is_set():
            first = self._consumer.poll(0.1)
            if first is None:
                continue
            for message in [first, *self._consumer.consume(100, 0)]:
                if not message.error():
                    attributes: Mapping[str, str] = {name: text.decode() for name, text in message.headers()}
                    self.hear(message.value(), attributes)
