"""Brokers that cannot do what a worker or the client needs: it is named, and nothing hangs or is lost.

A real broker, whose newer requests a proxy hides.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from client.__main__ import main
from functions.kafka import share
from functions.kafka.connection import ConsumerBroke, properties
from functions.runtime.supervised import Supervisor
from infra.local.ports import free_port
from tests.kafka_broker import Broker, KafkaTopics, broker
from tests.kafka_worker import kafka_worker
from tests.old_kafka import INIT_PRODUCER_ID, SHARE_GROUPS, older
from tests.samples import encoded


@dataclass(frozen=True, slots=True)
class Proxied:
    """A broker whose clients reach it through a port of a proxy."""

    broker: Broker
    port: int

    def topics(self) -> KafkaTopics:
        """New topics, which a broker that hides nothing creates."""
        made = KafkaTopics(f"127.0.0.1:{self.port}")
        with older(self.port, self.broker.bootstrap, []):
            made.create()
        return made


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    port = free_port()
    with broker(tmp_path_factory.mktemp("kafka"), f"advertised.listeners=PLAINTEXT://127.0.0.1:{port}") as made:
        yield Proxied(made, port)


@pytest.mark.parametrize("transactions", ["off", "on"])
def test_a_worker_that_cannot_publish_ends_and_leaves_the_request(
    proxied: Proxied, transactions: str, tmp_path: Path
) -> None:
    topics = proxied.topics()
    env = {**topics.env, "KAFKA_TRANSACTIONS": transactions}
    with older(proxied.port, proxied.broker.bootstrap, []):
        topics.send({"a": encoded()})
    with older(proxied.port, proxied.broker.bootstrap, [INIT_PRODUCER_ID]):
        with kafka_worker(tmp_path / "old.log", env, is_ready=False) as worker:
            assert worker.process.wait(60) == 1, worker.text
        assert "requires Apache Kafka broker version >= 0.11" in worker.text, worker.text
    with older(proxied.port, proxied.broker.bootstrap, []), kafka_worker(tmp_path / "new.log", env) as worker:
        assert [response.status for response in topics.answers({"a"})] == ["ok"]
        worker.stop()


def test_the_client_names_what_a_broker_cannot_do(
    proxied: Proxied, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    topics = proxied.topics()
    monkeypatch.setenv("PREDICTIONS_BROKER", f"kafka://{topics.bootstrap}")
    monkeypatch.setenv("REQUEST_TOPIC", topics.requests)
    monkeypatch.setenv("RESPONSE_TOPIC", topics.responses)
    monkeypatch.setenv("PREDICTIONS_STATE", str(tmp_path / "jobs.db"))
    began = time.monotonic()
    with older(proxied.port, proxied.broker.bootstrap, [INIT_PRODUCER_ID]):
        assert main(["publish", str(samples)], os.environ) == 1
    said = capsys.readouterr().err
    assert "it could not be published: " in said and "requires Apache Kafka broker version >= 0.11" in said
    assert time.monotonic() - began < 30, "it waited until the time of the messages was over"


def test_a_worker_names_the_version_that_has_share_groups(proxied: Proxied, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(share, "JOIN_S", 8.0)
    topics = proxied.topics()
    with older(proxied.port, proxied.broker.bootstrap, SHARE_GROUPS):
        stream = share.ShareStream(
            properties(topics.bootstrap), topics.requests, "g", (8, 1_000_000), 3, lambda _: pytest.fail(), Supervisor()
        )
        stream.start(lambda _: None, lambda *_: None)
        failure = stream.ended.exception(30)
        assert isinstance(failure, ConsumerBroke) and "share groups need Kafka 4.2" in str(failure)
