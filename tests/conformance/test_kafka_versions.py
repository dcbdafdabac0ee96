"""Brokers of older versions of Kafka: what they lack is named. A real broker, whose newer requests a proxy hides."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from client.__main__ import main
from infra.local.ports import free_port
from tests.kafka_broker import Broker, KafkaTopics, broker
from tests.kafka_worker import ended_worker
from tests.old_kafka import INIT_PRODUCER_ID, SHARE_GROUPS, older


@dataclass(frozen=True, slots=True)
class Proxied:
    """A broker whose clients reach it through a port of a proxy."""

    broker: Broker
    port: int

    @property
    def topics(self) -> KafkaTopics:
        return KafkaTopics(f"127.0.0.1:{self.port}")


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    port = free_port()
    with broker(tmp_path_factory.mktemp("kafka"), f"advertised.listeners=PLAINTEXT://127.0.0.1:{port}") as made:
        yield Proxied(made, port)


def test_a_worker_names_the_version_that_has_share_groups(proxied: Proxied) -> None:
    topics = proxied.topics
    with older(proxied.port, proxied.broker.bootstrap, SHARE_GROUPS):
        topics.create()
        assert "share groups need Kafka 4.2" in ended_worker({**topics.env, "KAFKA_GROUP": "share"})


@pytest.mark.parametrize("transactions", ["off", "on"])
def test_a_worker_names_what_a_broker_cannot_do(proxied: Proxied, transactions: str) -> None:
    topics = proxied.topics
    with older(proxied.port, proxied.broker.bootstrap, [INIT_PRODUCER_ID]):
        topics.create()
        said = ended_worker({**topics.env, "KAFKA_TRANSACTIONS": transactions})
        assert "need Kafka 0.11" in said, said


def test_the_client_names_what_a_broker_cannot_do(
    proxied: Proxied, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    topics = proxied.topics
    monkeypatch.setenv("PREDICTIONS_BROKER", f"kafka://{topics.bootstrap}")
    monkeypatch.setenv("REQUEST_TOPIC", topics.requests)
    monkeypatch.setenv("RESPONSE_TOPIC", topics.responses)
    monkeypatch.setenv("PREDICTIONS_STATE", str(tmp_path / "jobs.db"))
    with older(proxied.port, proxied.broker.bootstrap, [INIT_PRODUCER_ID]):
        topics.create()
        assert main(["publish", str(samples)], os.environ) == 1
    assert "too old" in capsys.readouterr().err
