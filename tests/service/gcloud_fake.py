"""Runs the doctor's gcloud commands without gcloud, with the same calls through the stock clients."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.iam.v1.policy_pb2 import Binding
from google.protobuf.field_mask_pb2 import FieldMask


@dataclass(frozen=True, slots=True)
class GcloudFake:
    """Stock clients of a project, and what gcloud would do with them."""

    project: str
    publisher: Any
    subscriber: Any
    storage: Any

    def topic(self, name: str) -> str:
        return f"projects/{self.project}/topics/{name}"

    def subscription(self, name: str) -> str:
        return f"projects/{self.project}/subscriptions/{name}"

    def obey(self, line: str) -> None:
        """Run a line of commands; a command that is not known is an error."""
        for command in line.split(" && "):
            gcloud, *words, project = shlex.split(command)
            assert (gcloud, project) == ("gcloud", f"--project={self.project}"), command
            flags = dict(word.removeprefix("--").partition("=")[::2] for word in words if word.startswith("--"))
            count = next(n for n in (4, 3, 2) if hasattr(self, _method(words[:n])))
            names = [word for word in words[count:] if not word.startswith("--")]
            getattr(self, _method(words[:count]))(*names, **flags)

    def _pubsub_topics_create(self, name: str, **flags: str) -> None:
        self.publisher.create_topic(_topic(self.topic(name), flags))

    def _pubsub_topics_update(self, name: str, **flags: str) -> None:
        mask = FieldMask(paths=["message_retention_duration"])
        self.publisher.update_topic({"topic": _topic(self.topic(name), flags), "update_mask": mask})

    def _pubsub_topics_add_iam_policy_binding(self, name: str, member: str, role: str) -> None:
        _bind(self.publisher, self.topic(name), member, role)

    def _pubsub_subscriptions_create(self, name: str, topic: str, **flags: str) -> None:
        wanted = {"name": self.subscription(name), "topic": self.topic(topic), **self._settings(flags)}
        self.subscriber.create_subscription(wanted)

    def _pubsub_subscriptions_update(self, name: str, **flags: str) -> None:
        settings = self._settings(flags)
        mask = FieldMask(paths=list(settings))
        self.subscriber.update_subscription(
            {"subscription": {"name": self.subscription(name), **settings}, "update_mask": mask}
        )

    def _pubsub_subscriptions_delete(self, name: str) -> None:
        self.subscriber.delete_subscription(subscription=self.subscription(name))

    def _pubsub_subscriptions_modify_push_config(self, name: str, **flags: str) -> None:
        push = self._settings(flags)["push_config"]
        self.subscriber.modify_push_config(subscription=self.subscription(name), push_config=push)

    def _pubsub_subscriptions_add_iam_policy_binding(self, name: str, member: str, role: str) -> None:
        _bind(self.subscriber, self.subscription(name), member, role)

    def _storage_buckets_create(self, url: str, **flags: str) -> None:
        self.storage.create_bucket(url.removeprefix("gs://"), location=flags["location"])

    def _storage_buckets_notifications_create(self, url: str, **flags: str) -> None:
        project, topic = flags["topic"].split("/")[1::2]
        body = {
            "topic": f"//pubsub.googleapis.com/projects/{project}/topics/{topic}",
            "event_types": flags["event-types"].split(","),
            "payload_format": {"json": "JSON_API_V1", "none": "NONE"}[flags["payload-format"]],
        }
        self.storage._post_resource(f"/b/{url.removeprefix('gs://')}/notificationConfigs", body)

    def _storage_buckets_notifications_delete(self, *names: str) -> None:
        for name in names:
            self.storage._delete_resource(name.removeprefix("projects/_").replace("/buckets/", "/b/"))

    def _storage_rsync(self, source: str, target: str, **flags: str) -> None:
        bucket, _, prefix = target.removeprefix("gs://").partition("/")
        for path in Path(source).rglob("*"):
            if path.is_file():
                name = f"{prefix}/{path.relative_to(source)}"
                self.storage.bucket(bucket).blob(name).upload_from_filename(str(path))

    def _settings(self, flags: dict[str, str]) -> dict[str, Any]:
        """A subscription's fields, as gcloud makes them of its flags; a flag that is left over is an error."""
        rest: dict[str, str] = dict(flags)
        fields: dict[str, Any] = {}
        if "ack-deadline" in rest:
            fields["ack_deadline_seconds"] = int(rest.pop("ack-deadline"))
        if "message-retention-duration" in rest:
            fields["message_retention_duration"] = _duration(rest.pop("message-retention-duration"))
        if "expiration-period" in rest:
            assert rest.pop("expiration-period") == "never"
            fields["expiration_policy"] = {}
        if "min-retry-delay" in rest:
            low, high = rest.pop("min-retry-delay"), rest.pop("max-retry-delay")
            fields["retry_policy"] = {"minimum_backoff": _duration(low), "maximum_backoff": _duration(high)}
        if "clear-retry-policy" in rest:
            fields["retry_policy"] = rest.pop("clear-retry-policy") or None
        if "dead-letter-topic" in rest:
            topic, attempts = self.topic(rest.pop("dead-letter-topic")), int(rest.pop("max-delivery-attempts"))
            fields["dead_letter_policy"] = {"dead_letter_topic": topic, "max_delivery_attempts": attempts}
        if "clear-dead-letter-policy" in rest:
            fields["dead_letter_policy"] = rest.pop("clear-dead-letter-policy") or None
        if "push-endpoint" in rest:
            fields["push_config"] = {"push_endpoint": rest.pop("push-endpoint")}
        if "push-auth-service-account" in rest:
            email, audience = rest.pop("push-auth-service-account"), rest.pop("push-auth-token-audience")
            fields["push_config"]["oidc_token"] = {"service_account_email": email, "audience": audience}
        assert not rest, rest
        return fields


def _method(words: list[str]) -> str:
    return "_" + "_".join(words).replace("-", "_")


def _topic(name: str, flags: dict[str, str]) -> dict[str, Any]:
    kept = flags.get("message-retention-duration")
    return {"name": name, **({"message_retention_duration": _duration(kept)} if kept else {})}


def _bind(client: Any, resource: str, member: str, role: str) -> None:
    policy = client.get_iam_policy({"resource": resource})
    policy.bindings.append(Binding(role=role, members=[member]))
    client.set_iam_policy({"resource": resource, "policy": policy})


def _duration(text: str) -> dict[str, int]:
    return {"seconds": int(text.removesuffix("s"))}
