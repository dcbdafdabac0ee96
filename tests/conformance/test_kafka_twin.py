"""`up --broker kafka`: a real broker with the topics, the worker on it, and no process that remains."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import admin as administration

from functions.kafka.connection import properties
from infra.local import kafka_topics
from infra.local.kafka import NoKafka, find
from infra.local.kafka_topics import PARTITIONS
from tests.conftest import absent
from tests.processes import alive
from tests.service.test_up import UP, running
from tests.waiting import until

WEEK_MS = str(7 * 86_400_000)


@pytest.fixture(autouse=True)
def broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skips, or fails under CI, where no broker can be started."""
    monkeypatch.delenv("KAFKA_BOOTSTRAP", raising=False)
    try:
        find()
    except NoKafka as exc:
        absent(str(exc))


def test_up_runs_the_twin_on_kafka(root: Path, tmp_path: Path) -> None:
    with running(root, tmp_path / "worker.log", "--broker", "kafka") as up:
        assert up.ready(), up.said
        family = up.family()
        printed = subprocess.run(
            [*UP, "--env", str(up.process.pid)], cwd=root, capture_output=True, text=True, timeout=20, check=True
        )
        env = dict(line.removeprefix("export ").split("=", 1) for line in printed.stdout.splitlines())
        assert env["PREDICTIONS_BROKER"] == f"kafka://{env['KAFKA_BOOTSTRAP']}" and "WORKER_URL" not in env
        assert f"kafka    {env['PREDICTIONS_BROKER']}" in up.said and "page" not in up.said
        assert settings(env["KAFKA_BOOTSTRAP"]) == {
            name: (PARTITIONS, WEEK_MS, "11000000")
            for name in (
                "req_predict",
                "req_predict-retry",
                "res_predict",
                "dead_predict",
                "compare_predict",
                "req_train",
            )
        }
        up.process.send_signal(signal.SIGKILL)
        assert until(lambda: not alive(family), 20), alive(family)


def settings(bootstrap: str) -> dict[str, tuple[int, str, str]]:
    """Partitions, retention and the largest message of each topic that Kafka has not made itself."""
    kafka: Any = administration
    admin = kafka.AdminClient(properties(bootstrap))
    topics = {name: topic for name, topic in admin.list_topics(timeout=10).topics.items() if not name.startswith("__")}
    asked = admin.describe_configs([kafka.ConfigResource(kafka.ResourceType.TOPIC, name) for name in topics])
    found: Mapping[str, Mapping[str, str]] = {
        resource.name: {name: entry.value for name, entry in done.result(10).items()}
        for resource, done in asked.items()
    }
    return {
        name: (len(topic.partitions), found[name]["retention.ms"], found[name]["max.message.bytes"])
        for name, topic in topics.items()
    }


def test_a_cluster_that_runs_is_used_and_left_as_it_is(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(root, tmp_path / "one.log", "--broker", "kafka", "--worker", "none") as first:
        assert first.ready(), first.said
        bootstrap = first.said.partition("kafka://")[2].partition("\n")[0]
        assert kafka_topics.main(["--bootstrap", bootstrap]) == 0 and capsys.readouterr().out == ""
        assert kafka_topics.main(["--bootstrap", bootstrap, "--prefix", "dev-", "--partitions", "3"]) == 0
        assert "created: dev-req_predict-retry\n" in capsys.readouterr().out
        assert settings(bootstrap)["dev-res_predict"] == (3, WEEK_MS, "11000000")
        env = {**os.environ, "KAFKA_BOOTSTRAP": bootstrap}
        with running(root, tmp_path / "two.log", "--broker", "kafka", env=env) as second:
            assert second.ready(), second.said
            second.process.send_signal(signal.SIGTERM)
            assert second.process.wait(20) == 0
        assert not alive(second.family()[1:]) and settings(bootstrap)


def test_an_unreachable_cluster_is_a_sentence(root: Path, tmp_path: Path) -> None:
    env = {**os.environ, "KAFKA_BOOTSTRAP": "127.0.0.1:1"}
    with running(root, tmp_path / "worker.log", "--broker", "kafka", env=env) as up:
        assert not up.ready() and up.process.wait(20) == 1
    assert "error: no Kafka broker at 127.0.0.1:1 answered within" in up.said
