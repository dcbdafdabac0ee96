"""A twin that tests break and repair, and `predictions doctor` run against it."""

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
from tests.service.gcloud_fake import GcloudFake

PROJECT = "local"


@dataclass(frozen=True, slots=True)
class DoctorHarness:
    """A twin, clients to change its resources with, and `predictions doctor` run against it."""

    twin: Twin
    gcloud: GcloudFake
    capsys: pytest.CaptureFixture[str]

    def visit(self, *words: str) -> tuple[int, list[dict[str, str]]]:
        """Run the doctor. Returns its exit code and the findings that are not ok."""
        code = main(["doctor", "--json", *words], os.environ)
        findings = [json.loads(line) for line in self.capsys.readouterr().out.splitlines()]
        return code, [each for each in findings if each["level"] != "ok"]

    def update(self, name: str, **fields: Any) -> None:
        """Change settings of a subscription."""
        changed = {"name": self.gcloud.subscription(name), **fields}
        mask = FieldMask(paths=list(fields))
        self.gcloud.subscriber.update_subscription({"subscription": changed, "update_mask": mask})

    @property
    def secure(self) -> str:
        """The worker's address as it would be in the cloud."""
        return f"{self.twin.worker_url}/".replace("http://", "https://")

    def push(self, name: str, endpoint: str, token: dict[str, str] | None = None) -> None:
        """Change the push endpoint of a subscription; "" makes it a pull subscription."""
        config = {"push_endpoint": endpoint, "oidc_token": token}
        self.gcloud.subscriber.modify_push_config(subscription=self.gcloud.subscription(name), push_config=config)

    def remake(self, name: str, topic: str, **settings: Any) -> None:
        """Replace a subscription by another one of the same name."""
        path = self.gcloud.subscription(name)
        self.gcloud.subscriber.delete_subscription(subscription=path)
        self.gcloud.subscriber.create_subscription({"name": path, "topic": self.gcloud.topic(topic), **settings})

    def revoke(self, resource: str, role: str, **binding: Any) -> None:
        """Replace every grant on a topic or subscription by another one."""
        others = {"role": role, "members": ["user:other@example.com"], **binding}
        policy = {"version": 3, "bindings": [others]}
        self.gcloud.publisher.set_iam_policy({"resource": resource, "policy": policy})

    def notify(self, **changed: Any) -> None:
        """Add a notification to the uploads bucket."""
        body = {
            "topic": "//pubsub.googleapis.com/projects/local/topics/req_predict",
            "event_types": ["OBJECT_FINALIZE"],
            "payload_format": "JSON_API_V1",
        }
        self.gcloud.storage._post_resource("/b/uploads/notificationConfigs", body | changed)

    def hush(self) -> None:
        """Delete every notification of the uploads bucket."""
        for each in self.gcloud.storage._get_resource("/b/uploads/notificationConfigs").get("items", ()):
            self.gcloud.storage._delete_resource(f"/b/uploads/notificationConfigs/{each['id']}")

    def renotify(self, **changed: Any) -> None:
        """Replace the notifications of the uploads bucket."""
        self.hush()
        self.notify(**changed)

    def empty(self, bucket: str) -> None:
        """Delete a bucket."""
        self.gcloud.storage.bucket(bucket).delete(force=True)


@contextmanager
def doctor_harness(
    twin: Twin, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[DoctorHarness]:
    """A harness with the environment that `up --env` prints, and no other."""
    for name in ("ARTIFACT", "WORKER_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in twin.env.items():
        monkeypatch.setenv(name, value)
    publisher, subscriber = pubsub_v1.PublisherClient(), pubsub_v1.SubscriberClient()
    bucket = storage.Client(project=PROJECT)
    yield DoctorHarness(twin, GcloudFake(PROJECT, publisher, subscriber, bucket), capsys)
    publisher.stop()
    publisher.transport.close()
    subscriber.close()
    bucket.close()
