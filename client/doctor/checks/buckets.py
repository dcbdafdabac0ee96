"""Checks buckets: they exist, and notify the request topic of each new image, once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from client.doctor.clients import Clients, call
from client.doctor.expected import Notification
from client.doctor.finding import Finding, fail, ok, warn
from client.doctor.gcloud import gcloud
from client.doctor.subscription_settings import short

_PUBSUB, _PAYLOAD = "//pubsub.googleapis.com/", "JSON_API_V1"
_NOTIFICATIONS = ("storage", "buckets", "notifications")


def check_bucket(clients: Clients, name: str, region: str) -> Iterator[Finding]:
    """Yield one finding."""
    subject = f"bucket {name}"
    if call("storage.buckets.get", clients.storage.get_bucket, bucket_or_name=name, **clients.storage_limits):
        yield ok(subject, "exists")
        return
    private = ["--uniform-bucket-level-access", "--public-access-prevention"]
    create = ["storage", "buckets", "create", f"gs://{name}", f"--location={region}", *private]
    yield fail(subject, "does not exist", gcloud(clients.project, *create))


def check_notification(clients: Clients, expected: Notification) -> Iterator[Finding]:
    """Yield one finding; none when the bucket does not exist, which another check reports."""
    subject, topic = f"notification {expected.bucket}", short(expected.topic)
    # list_notifications is not used: it rejects project ids under six characters, such as the twin's.
    get, path = clients.storage._get_resource, f"/b/{expected.bucket}/notificationConfigs"
    listed = call("storage.buckets.get", get, path=path, **clients.storage_limits)
    if listed is None:
        return
    ours = [each for each in listed.get("items", ()) if each["topic"] == _PUBSUB + expected.topic]
    right = [each for each in ours if not _difference(each, expected)]
    create = gcloud(
        clients.project, *_NOTIFICATIONS, "create", f"gs://{expected.bucket}",
        f"--topic={expected.topic}", f"--event-types={','.join(expected.event_types)}", "--payload-format=json",
    )  # fmt: skip

    def delete(configs: Sequence[Mapping[str, Any]]) -> str:
        names = [f"projects/_/buckets/{expected.bucket}/notificationConfigs/{each['id']}" for each in configs]
        return gcloud(clients.project, *_NOTIFICATIONS, "delete", *names)

    if not ours:
        yield fail(subject, f"does not notify {topic}: images uploaded there are not answered", create)
    elif not right:
        yield fail(subject, f"notifies {topic} {_difference(ours[0], expected)}", f"{delete(ours)} && {create}")
    elif len(ours) > 1:
        message = f"notifies {topic} {len(ours)} times, so each image may be answered {len(ours)} times"
        yield warn(subject, message, delete([each for each in ours if each is not right[0]]))
    else:
        yield ok(subject, f"notifies {topic} of {', '.join(expected.event_types)}")


def _difference(found: Mapping[str, Any], expected: Notification) -> str:
    """Return how a notification differs from the expected one; empty when it does not."""
    events, payload = found.get("event_types", ("everything",)), found["payload_format"]
    if set(events) != set(expected.event_types):
        return f"of {', '.join(events)}, not of {', '.join(expected.event_types)}"
    if payload != _PAYLOAD:
        return f"with the payload {payload}, not {_PAYLOAD}"
    if prefix := found.get("object_name_prefix"):
        return f"only of names that begin with {prefix}"
    return ""
