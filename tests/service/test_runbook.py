"""The commands of infra/runbook.md are run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from client.__main__ import main
from client.dead_letters import subscription
from infra.deploy import runbook
from infra.deploy.target import Target
from infra.local.twin import Twin
from tests.service.doctor_harness import PROJECT, DoctorHarness

DEAD, REQUESTS = "dead_predict-sub", "req_predict-sub"


@pytest.fixture
def twin() -> Iterator[Twin]:
    with Twin(worker=None, project=PROJECT) as running:
        yield running


def test_redrive_publishes_requests_under_their_old_ids(
    harness: DoctorHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "WAIT_S", 2.0)
    page = runbook.page(Target("some-project"))
    commands = re.findall(r"^predictions (dead-letters .+?) --project=some-project(?: +#.*)?$", page, re.M)
    topic = harness.gcloud.topic("dead_predict")
    for number in range(3):
        attributes = {"request_id": f"r{number}", "CloudPubSubDeadLetterSourceDeliveryCount": "20"}
        harness.gcloud.publisher.publish(topic, b"\x00image %d" % number, **attributes).result(20)

    codes = [main([*command.split(), f"--project={PROJECT}"], os.environ) for command in commands]

    assert codes == [0, 0, 0, 0] and [command.split()[1] for command in commands] == ["list", *["redrive"] * 3]
    printed = re.findall(r"^redriven: (r\d)$", harness.capsys.readouterr().out, re.M)
    assert sorted(printed) == [f"r{number}" for number in range(3)]
    found: dict[bytes, dict[str, str]] = {}
    while len(found) < 3:
        pulled = harness.gcloud.subscriber.pull(
            subscription=harness.gcloud.subscription(REQUESTS), max_messages=10, timeout=20
        )
        found |= {each.message.data: dict(each.message.attributes) for each in pulled.received_messages}
    assert found == {b"\x00image %d" % number: {"request_id": f"r{number}", "redriven": "1"} for number in range(3)}
    held = harness.twin._pubsub._broker.subscription(harness.gcloud.subscription(DEAD))  # type: ignore[union-attr]
    assert held.backlog.read() == set()


def test_the_runbook_needs_no_installed_package(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-m", "infra.deploy.runbook"],
        cwd=root,
        env={"PROJECT": "some-project", "PREFIX": "dev"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == runbook.page(Target("some-project", prefix="dev"))


def test_the_doctor_accepts_the_arguments_of_the_runbook(harness: DoctorHarness) -> None:
    for compute in ("push", "worker", "function", "kafka"):
        words = runbook.names(Target("some-project", prefix="dev", compute=compute))["DOCTOR"].split()
        code, _ = harness.visit(*words[2:], "--project", PROJECT)
        assert code in (0, 1)
