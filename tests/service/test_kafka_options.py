"""The twin on Kafka without a broker: what it would create, and what cannot be, in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from client.doctor.kafka.expected import expected_topics
from infra.local.__main__ import main
from infra.local.kafka_topics import attempts, kafka_topics
from infra.local.topology import SHIPPED, Topology


def test_a_machine_without_a_broker_reads_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("infra.local.__main__._obey_signals", lambda: None)
    monkeypatch.setenv("SHARED", str(tmp_path))
    monkeypatch.delenv("KAFKA_BOOTSTRAP", raising=False)

    assert main(["up", "--broker", "kafka", "--worker", "none", "--log", str(tmp_path / "worker.log")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: there is no Kafka broker here: set KAFKA_BOOTSTRAP") and said.count("\n") == 1


@pytest.mark.parametrize("words", [["--worker", "push"], ["--pubsub", "google"], ["--fault-plan", "seed=1"]])
def test_options_of_pubsub_are_refused(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("infra.local.__main__._obey_signals", lambda: None)

    assert main(["up", "--broker", "kafka", *words]) == 2
    assert (
        "--broker kafka is given with --worker push or pull, --pubsub google or --fault-plan" in capsys.readouterr().err
    )


def test_the_doctor_expects_what_is_created() -> None:
    created = {topic.name: int(topic.settings["retention.ms"]) for topic in kafka_topics(Topology.read())}

    assert created == {topic.name: topic.retention_ms for topic in expected_topics(SHIPPED, "")}
    assert created["req_predict-retry"] == created["req_predict"] == 7 * 86_400_000


def test_the_worker_has_the_attempts_of_the_topology() -> None:
    given = attempts(Topology.read().with_retry(0.5, 2, 7))

    assert given == {"KAFKA_MAX_ATTEMPTS": "7", "KAFKA_MIN_BACKOFF_S": "0.5", "KAFKA_MAX_BACKOFF_S": "2"}
