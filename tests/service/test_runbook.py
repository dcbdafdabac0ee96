"""The commands of the runbook in infra/README.md are run."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from client.__main__ import main
from client.dead_letters import subscription
from infra.local.twin import Twin
from tests.service.doctor_harness import PROJECT, DoctorHarness

DEAD, REQUESTS = "dead_predict-sub", "req_predict-sub"


@pytest.fixture
def twin() -> Iterator[Twin]:
    with Twin(worker=None, project=PROJECT) as running:
        yield running


def test_redrive_publishes_requests_under_their_old_ids(
    harness: DoctorHarness, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "WAIT_S", 0.5)
    readme = (root / "infra" / "README.md").read_text()
    commands = re.findall(r"^predictions (dead-letters .+?--project=)PROJECT(?: +#.*)?$", readme, re.M)
    topic = harness.gcloud.topic("dead_predict")
    for number in range(3):
        attributes = {"request_id": f"r{number}", "CloudPubSubDeadLetterSourceDeliveryCount": "20"}
        harness.gcloud.publisher.publish(topic, b"\x00image %d" % number, **attributes).result(20)

    codes = [main([*command.split()[:-1], f"--project={PROJECT}"], os.environ) for command in commands]

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
