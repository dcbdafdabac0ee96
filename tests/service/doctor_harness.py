"""A twin to break and to mend, and the doctor's visits to it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from google.cloud import pubsub_v1, storage
from google.protobuf.field_mask_pb2 import FieldMask

from client.__main__ import main
from infra.local.twin import Twin
from tests.service.gcloud_fake import Hands

PROJECT = "local"


@dataclass(frozen=True, slots=True)
class Ward:
    """A twin, hands to break and mend it with, and the doctor's visits."""

    twin: Twin
    hands: Hands
    capsys: pytest.CaptureFixture[str]

    def visit(self, *words: str) -> tuple[int, list[dict[str, str]]]:
        """The exit code, and what is not well."""
        code = main(["doctor", "--json", *words], os.environ)
        findings = [json.loads(line) for line in self.capsys.readouterr().out.splitlines()]
        return code, [each for each in findings if each["level"] != "ok"]

    def update(self, name: str, **fields: Any) -> None:
        """Change settings of a subscription."""
        changed = {"name": self.hands.subscription(name), **fields}
        mask = FieldMask(paths=list(fields))
        self.hands.subscriber.update_subscription({"subscription": changed, "update_mask": mask})

    @property
    def secure(self) -> str:
        """The worker's address as it would be in the cloud."""
        return f"{self.twin.worker_url}/".replace("http://", "https://")

    def push(self, name: str, endpoint: str, token: dict[str, str] | None = None) -> None:
        """Push a subscription elsewhere, or nowhere."""
        config = {"push_endpoint": endpoint, "oidc_token": token}
        self.hands.subscriber.modify_push_config(subscription=self.hands.subscription(name), push_config=config)

    def remake(self, name: str, topic: str, **settings: Any) -> None:
        """Delete a subscription, and make another of its name."""
        path = self.hands.subscription(name)
        self.hands.subscriber.delete_subscription(subscription=path)
        self.hands.subscriber.create_subscription({"name": path, "topic": self.hands.topic(topic), **settings})

    def revoke(self, resource: str, role: str, **binding: Any) -> None:
        """Take every grant on a topic or subscription away, and make another."""
        others = {"role": role, "members": ["user:somebody@example.com"], **binding}
        policy = {"version": 3, "bindings": [others]}
        self.hands.publisher.set_iam_policy({"resource": resource, "policy": policy})

    def notify(self, **changed: Any) -> None:
        """Have the uploads bucket tell somebody of something, besides what it tells already."""
        body = {
            "topic": "//pubsub.googleapis.com/projects/local/topics/req_predict",
            "event_types": ["OBJECT_FINALIZE"],
            "payload_format": "JSON_API_V1",
        }
        self.hands.storage._post_resource("/b/uploads/notificationConfigs", body | changed)

    def hush(self) -> None:
        """Have the uploads bucket tell nobody."""
        for each in self.hands.storage._get_resource("/b/uploads/notificationConfigs").get("items", ()):
            self.hands.storage._delete_resource(f"/b/uploads/notificationConfigs/{each['id']}")

    def renotify(self, **changed: Any) -> None:
        """Have the uploads bucket notify the topic otherwise than it should."""
        self.hush()
        self.notify(**changed)

    def empty(self, bucket: str) -> None:
        """Delete a bucket."""
        self.hands.storage.bucket(bucket).delete(force=True)


@contextmanager
def visiting(twin: Twin, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Ward]:
    """A ward with the environment that `up --env` prints, and no other."""
    for name in ("ARTIFACT", "WORKER_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in twin.env.items():
        monkeypatch.setenv(name, value)
    publisher, subscriber = pubsub_v1.PublisherClient(), pubsub_v1.SubscriberClient()
    bucket = storage.Client(project=PROJECT)
    yield Ward(twin, Hands(PROJECT, publisher, subscriber, bucket), capsys)
    publisher.stop()
    publisher.transport.close()
    subscriber.close()
    bucket.close()
