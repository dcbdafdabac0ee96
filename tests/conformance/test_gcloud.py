"""`gcloud pubsub` against the twin: commonly used commands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.local.pubsub.server import PubsubServer
from tests.conftest import absent

Gcloud = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def gcloud(tmp_path: Path) -> Iterator[Gcloud]:
    """Runs `gcloud pubsub …` on an embedded server of its own."""
    if not shutil.which("gcloud"):
        absent("gcloud is not installed")
    with PubsubServer() as server:
        env = {
            **os.environ,
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_PUBSUB": f"http://{server.host}/",
            "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
            "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "1",
            "CLOUDSDK_CONFIG": str(tmp_path),
            "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
            "CLOUDSDK_CORE_PROJECT": "local",
        }

        def run(*words: str) -> subprocess.CompletedProcess[str]:
            command = ["gcloud", "pubsub", *words, "--format=json"]
            return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)

        yield run


def output(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_message_from_publish_to_ack(gcloud: Gcloud) -> None:
    output(gcloud("topics", "create", "greetings", "--labels=a=b"))
    output(gcloud("subscriptions", "create", "readers", "--topic=greetings", '--message-filter=attributes.k = "v"'))
    [topic] = output(gcloud("topics", "list"))
    assert topic == {"labels": {"a": "b"}, "name": "projects/local/topics/greetings", "state": "ACTIVE"}
    output(gcloud("topics", "publish", "greetings", "--message=hello", "--attribute=k=v", "--ordering-key=one"))
    [received] = output(gcloud("subscriptions", "pull", "readers", "--auto-ack"))
    assert received["message"]["data"] == "aGVsbG8=" and received["message"]["orderingKey"] == "one"
    assert received["ackStatus"] == "SUCCESS"


def test_settings_policies_and_refusals(gcloud: Gcloud) -> None:
    output(gcloud("topics", "create", "greetings"))
    output(gcloud("subscriptions", "create", "readers", "--topic=greetings"))
    output(gcloud("subscriptions", "update", "readers", "--ack-deadline=33", "--min-retry-delay=2s"))
    settings = output(gcloud("subscriptions", "describe", "readers"))
    assert settings["ackDeadlineSeconds"] == 33
    assert settings["retryPolicy"]["minimumBackoff"] == "2s"
    role = "roles/pubsub.publisher"
    policy = output(gcloud("topics", "add-iam-policy-binding", "greetings", "--member=user:a@b.com", f"--role={role}"))
    assert policy["bindings"] == [{"members": ["user:a@b.com"], "role": role}]
    refused = gcloud("topics", "create", "greetings")
    assert refused.returncode == 1
    assert "Resource already exists in the project (resource=greetings)" in refused.stderr
