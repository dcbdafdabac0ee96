"""Pushes with a token, through the twin: the worker verifies them with the keys of the twin."""

from __future__ import annotations

import pytest
import requests
from google.cloud import pubsub_v1

from infra.local.topology import Topology
from infra.local.twin import Twin
from tests.pubsub_client import PubsubClient
from tests.samples import encoded
from tests.waiting import until

EMAIL, AUDIENCE = "pusher@local.iam.gserviceaccount.com", "prediction-worker"


def test_the_worker_accepts_pushes_of_the_configured_account_only(monkeypatch: pytest.MonkeyPatch) -> None:
    guard = {"PUSH_AUDIENCE": AUDIENCE, "PUSH_SERVICE_ACCOUNT": EMAIL}
    patient = Topology.read().with_retry(0.1, 0.2, max_delivery_attempts=100)
    with Twin(patient, worker_env=guard) as twin:
        for name, value in twin.env.items():
            monkeypatch.setenv(name, value)
        with PubsubClient(twin.project) as pubsub:
            pubsub.publish(encoded(), request_id="r1")
            refused = '"outcome": "refused"'
            assert until(lambda: refused in twin.log_path.read_text()), "what nobody signed is nacked"
            push_as(twin, "other@local.iam.gserviceaccount.com", AUDIENCE)
            assert until(lambda: "belongs to another account" in twin.log_path.read_text())
            push_as(twin, EMAIL, "another-worker")
            assert until(lambda: "not a valid token from Google for this worker" in twin.log_path.read_text())
            assert pubsub.responses({"r1"}, timeout_s=0.5) == []

            push_as(twin, EMAIL, AUDIENCE)
            answered = pubsub.responses({"r1"})
        assert [response.status for response in answered] == ["ok"], "and delivered again, so nothing is lost"
        assert answered[0].delivery_attempt > 1
        assert requests.post(f"{twin.worker_url}/dead", data=b"{}", timeout=30).status_code == 401
        assert "eyJ" not in twin.log_path.read_text(), "no token, not even a refused one, is in the log"


def push_as(twin: Twin, email: str, audience: str) -> None:
    """Have the request subscription push as this account from now on."""
    config = {
        "push_endpoint": f"{twin.worker_url}/",
        "oidc_token": {"service_account_email": email, "audience": audience},
    }
    with pubsub_v1.SubscriberClient() as subscriber:
        path = subscriber.subscription_path(twin.project, "req_predict-sub")
        subscriber.modify_push_config(subscription=path, push_config=config)
