"""The commands of the runbook in infra/README.md are run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local.twin import Twin
from tests.service.doctor_harness import PROJECT, DoctorHarness

DEAD, REQUESTS = "dead_predict-sub", "req_predict-sub"


@pytest.fixture
def twin() -> Iterator[Twin]:
    with Twin(worker=None, project=PROJECT) as running:
        yield running


def test_redrive_publishes_requests_under_their_old_ids(harness: DoctorHarness, root: Path) -> None:
    readme = (root / "infra" / "README.md").read_text()
    [script] = re.findall(r"^python - PROJECT <<'END'\n(.*?)^END$", readme, re.M | re.S)
    topic = harness.gcloud.topic("dead_predict")
    for number in range(3):
        attributes = {"request_id": f"r{number}", "CloudPubSubDeadLetterSourceDeliveryCount": "20"}
        harness.gcloud.publisher.publish(topic, b"\x00image %d" % number, **attributes).result(20)

    done = subprocess.run(
        [sys.executable, "-", PROJECT], input=script, env=os.environ, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == [f"published again: r{number}" for number in range(3)]
    found: dict[bytes, dict[str, str]] = {}
    while len(found) < 3:
        pulled = harness.gcloud.subscriber.pull(
            subscription=harness.gcloud.subscription(REQUESTS), max_messages=10, timeout=20
        )
        found |= {each.message.data: dict(each.message.attributes) for each in pulled.received_messages}
    assert found == {b"\x00image %d" % number: {"request_id": f"r{number}"} for number in range(3)}
    held = harness.twin._pubsub._broker.subscription(harness.gcloud.subscription(DEAD))  # type: ignore[union-attr]
    assert held.backlog.read() == set()
