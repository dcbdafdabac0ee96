"""Google's stock client alone publishes a JPEG and receives a response that fits the schema."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from google.cloud import pubsub_v1

from infra.local.google import NoEmulator, find
from infra.local.twin import Backend, Delivery, Twin
from tests.conftest import absent
from tests.samples import encoded


@pytest.fixture(params=["embedded", "google"])
def pubsub(request: pytest.FixtureRequest) -> Backend:
    if request.param == "embedded":
        return "embedded"
    try:
        find(0)
    except NoEmulator as exc:
        absent(str(exc))
    return "google"


@pytest.mark.parametrize("worker", ["push", "pull"])
def test_the_stock_client(pubsub: Backend, worker: Delivery, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Twin(pubsub=pubsub, worker=worker) as twin:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", twin.env["PUBSUB_EMULATOR_HOST"])
        project = twin.env["GOOGLE_CLOUD_PROJECT"]
        publisher = pubsub_v1.PublisherClient()
        publisher.publish(
            f"projects/{project}/topics/req_predict", encoded("JPEG", (300, 400), "RGB"), request_id="r1", top_k="3"
        ).result(10)
        with pubsub_v1.SubscriberClient() as subscriber:
            path = f"projects/{project}/subscriptions/res_predict-sub"
            message = subscriber.pull(subscription=path, max_messages=1, timeout=20).received_messages[0].message
        publisher.stop()
        publisher.transport.close()
    schema = json.loads((root / "infra" / "schemas" / "response.json").read_text())
    body = json.loads(message.data)
    jsonschema.Draft202012Validator(schema).validate(body)
    assert body["request_id"] == message.attributes["request_id"] == "r1"
    assert message.attributes["status"] == "ok" and message.attributes["model"] == "fashion-mnist"
    assert len(body["predictions"]) == 3
