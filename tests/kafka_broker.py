"""A real Kafka broker for tests, and topics on it: KAFKA_BOOTSTRAP names one, else ../shared/kafka runs one."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from functions.kafka.connection import MAX_MESSAGE_BYTES
from functions.kafka.message_headers import headers_of
from functions.messages.contract import Response
from functions.messages.response_list import decode_responses
from tests.conftest import absent, data_folder, require
from tests.kafka_topics import create_all

PROGRAM = data_folder().parent / "kafka" / "broker"
"""Runs one broker: its --help tells how."""

LIMITS = {"max.message.bytes": str(MAX_MESSAGE_BYTES)}


def missing() -> str:
    """Why no broker can be started here, or ""."""
    if find_spec("confluent_kafka") is None:
        return "confluent-kafka is not installed: make setup"
    if not PROGRAM.is_file():
        return f"no Kafka broker at {PROGRAM}: set KAFKA_BOOTSTRAP to one, or SHARED to the folder that has it"
    return ""


def _required() -> None:
    """Skip, or fail under CI, where no broker can be started."""
    if reason := missing():
        absent(reason)


_STARTED: list[Broker] = []
"""The broker that this process started for all: it runs until no process uses it."""


class Broker:
    """A broker on 127.0.0.1 with its data in a folder; a second start goes on with the data and the port."""

    def __init__(self, data: Path, *settings: str) -> None:
        words = [word for setting in settings for word in ("--set", setting)]
        self._command = [str(PROGRAM), "--data", str(data), "--port", "0", *words]
        self.bootstrap = ""
        self.start()

    def start(self) -> None:
        """Start it; returns once it answers. Of its random cluster ids, its storage refuses one in sixty-four."""
        for _ in range(3):
            self.process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True, start_new_session=True)
            assert self.process.stdout
            with self.process.stdout as printed:
                line = printed.readline().strip()
            if line.startswith("bootstrap="):
                self.bootstrap = line.removeprefix("bootstrap=")
                return
            self.process.wait()
        raise RuntimeError(f"the broker did not start: {' '.join(self._command)}")

    def kill(self) -> None:
        """End it at once, as a crash does."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """End it in order."""
        self.process.terminate()
        self.process.wait(30)


@contextmanager
def broker(data: Path, *settings: str) -> Iterator[Broker]:
    """A broker of the test's own, for one that is killed or set otherwise (`name=value`)."""
    _required()
    made = Broker(data, *settings)
    try:
        yield made
    finally:
        if made.process.poll() is None:
            made.stop()


@pytest.fixture(scope="session")
def kafka_bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a broker that all processes of a test run share: the last one that uses it stops it."""
    if given := os.environ.get("KAFKA_BOOTSTRAP"):
        require("confluent_kafka")
        yield given
        return
    _required()
    several = "PYTEST_XDIST_WORKER" in os.environ
    folder = tmp_path_factory.getbasetemp().parent if several else tmp_path_factory.mktemp("kafka")
    shared = folder / "kafka.json"
    with _locked(shared) as state:
        if not state:
            made = Broker(folder / "kafka-data")
            _STARTED.append(made)
            state |= {"users": 0, "bootstrap": made.bootstrap, "pid": made.process.pid}
        state["users"] += 1
    try:
        yield state["bootstrap"]
    finally:
        with _locked(shared) as state:
            state["users"] -= 1
            if not state["users"]:
                os.kill(state["pid"], signal.SIGTERM)
                state.clear()
                for made in _STARTED:
                    made.process.wait(30)


@contextmanager
def _locked(file: Path) -> Iterator[dict[str, Any]]:
    """The content of a JSON file, which is written back, while no other process has it."""
    with file.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        state: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
        yield state
        file.write_text(json.dumps(state))


@dataclass(frozen=True, slots=True)
class KafkaTopics:
    """Topics of one test on a broker, and a client of them."""

    bootstrap: str
    partitions: int = 4
    properties: Mapping[str, Any] = field(default_factory=dict)
    """Properties of its clients, for a cluster with TLS or passwords."""
    suffix: str = field(default_factory=lambda: uuid.uuid4().hex[:12])

    @property
    def requests(self) -> str:
        return f"req_predict-{self.suffix}"

    @property
    def responses(self) -> str:
        return f"res_predict-{self.suffix}"

    @property
    def dead(self) -> str:
        return f"dead_predict-{self.suffix}"

    @property
    def env(self) -> dict[str, str]:
        """The variables of a worker of these topics."""
        return {
            "KAFKA_BOOTSTRAP": self.bootstrap,
            "REQUEST_TOPIC": self.requests,
            "RESPONSE_TOPIC": self.responses,
            "DEAD_TOPIC": self.dead,
        }

    def create(self) -> None:
        from confluent_kafka.admin import AdminClient, NewTopic

        admin = AdminClient({**self.properties, "bootstrap.servers": self.bootstrap})
        names = (self.requests, f"{self.requests}-retry", self.responses, self.dead)
        create_all(admin, [NewTopic(name, self.partitions, 1, config=LIMITS) for name in names])

    def send(self, requests: Mapping[str, bytes], **attributes: str) -> None:
        """Publish requests by their ids; returns once the broker has them."""
        self.produce([(request_id.encode(), data, headers_of(attributes)) for request_id, data in requests.items()])

    def produce(
        self, messages: Sequence[tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes | None]]]], topic: str = ""
    ) -> None:
        """Publish messages: key, value, headers."""
        from confluent_kafka import Producer

        failures: list[Any] = []
        limit = {"message.max.bytes": 2 * MAX_MESSAGE_BYTES}
        producer = Producer(
            {**self.properties, "bootstrap.servers": self.bootstrap, "enable.idempotence": True, **limit}
        )
        for key, value, headers in messages:
            producer.produce(
                topic or self.requests,
                value,
                key,
                headers=list(headers),
                on_delivery=lambda error, _: failures.append(error) if error else None,
            )
        assert producer.flush(30) == 0 and not failures, failures

    def read(self, topic: str, enough: Any, timeout_s: float = 30.0, extra_s: float = 0.0) -> list[Any]:
        """The committed messages of a topic, until `enough(messages)`, and those of `extra_s` more seconds."""
        from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

        consumer = Consumer(
            {
                **self.properties,
                "bootstrap.servers": self.bootstrap,
                "group.id": f"reader-{uuid.uuid4().hex}",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
            }
        )
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(self.partitions)])
        found: list[Any] = []
        deadline, waiting = time.monotonic() + timeout_s, True
        while time.monotonic() < deadline:
            message = consumer.poll(0.05)
            if message is not None and not message.error():
                found.append(message)
            if waiting and enough(found):
                deadline, waiting = time.monotonic() + extra_s, False
        consumer.close()
        return found

    def answers(self, wanted: set[str], timeout_s: float = 30.0, extra_s: float = 0.0) -> list[Response]:
        """All responses until the wanted ones have come, and those of `extra_s` more seconds."""
        seen = dict[int, list[Response]]()

        def responses(messages: list[Any]) -> list[Response]:
            for number in range(len(seen), len(messages)):
                message = messages[number]
                attributes = {name: value.decode() for name, value in message.headers() or []}
                seen[number] = decode_responses(message.value(), attributes)
            return [response for each in seen.values() for response in each]

        def enough(messages: list[Any]) -> bool:
            return wanted <= {response.request_id for response in responses(messages)}

        return responses(self.read(self.responses, enough, timeout_s, extra_s))

    def committed(self, topic: str) -> Any:
        """What the group of the workers has committed for partition 0 of a topic."""
        from confluent_kafka import Consumer, TopicPartition

        consumer = Consumer(
            {**self.properties, "bootstrap.servers": self.bootstrap, "group.id": f"{self.requests}-worker"}
        )
        [found] = consumer.committed([TopicPartition(topic, 0)], timeout=10)
        consumer.close()
        return found

    def dead_letters(self, count: int, timeout_s: float = 30.0) -> list[Any]:
        """The dead letters, once there are so many."""
        return self.read(self.dead, lambda messages: len(messages) >= count, timeout_s)


@pytest.fixture
def kafka(kafka_bootstrap: str) -> KafkaTopics:
    """Topics of the test's own."""
    topics = KafkaTopics(kafka_bootstrap)
    topics.create()
    return topics
