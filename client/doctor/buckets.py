"""Buckets: there, and telling the request topic of each new image, once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from client.doctor.clients import Clients, look
from client.doctor.finding import Finding, fail, ok, warn
from client.doctor.gcloud import gcloud
from client.doctor.settings import short
from client.doctor.wanted import Notification

_PUBSUB, _PAYLOAD = "//pubsub.googleapis.com/", "JSON_API_V1"
_NOTIFICATIONS = ("storage", "buckets", "notifications")


def check_bucket(clients: Clients, name: str, region: str) -> Iterator[Finding]:
    """One line."""
    what = f"bucket {name}"
    if look("storage.buckets.get", clients.storage.get_bucket, bucket_or_name=name, **clients.storage_limits):
        yield ok(what, "is there")
        return
    private = ["--uniform-bucket-level-access", "--public-access-prevention"]
    create = ["storage", "buckets", "create", f"gs://{name}", f"--location={region}", *private]
    yield fail(what, "is not there", gcloud(clients.project, *create))


def check_notification(clients: Clients, wanted: Notification) -> Iterator[Finding]:
    """One line; none when the bucket is not there, which has a line already."""
    what, topic = f"notification {wanted.bucket}", short(wanted.topic)
    # Not list_notifications: it takes no project's id under six letters, such as the twin's.
    get, path = clients.storage._get_resource, f"/b/{wanted.bucket}/notificationConfigs"
    listed = look("storage.buckets.get", get, path=path, **clients.storage_limits)
    if listed is None:
        return
    ours = [each for each in listed.get("items", ()) if each["topic"] == _PUBSUB + wanted.topic]
    right = [each for each in ours if not _wrong(each, wanted)]
    create = gcloud(
        clients.project, *_NOTIFICATIONS, "create", f"gs://{wanted.bucket}",
        f"--topic={wanted.topic}", f"--event-types={','.join(wanted.event_types)}", "--payload-format=json",
    )  # fmt: skip

    def delete(those: Sequence[Mapping[str, Any]]) -> str:
        names = [f"projects/_/buckets/{wanted.bucket}/notificationConfigs/{each['id']}" for each in those]
        return gcloud(clients.project, *_NOTIFICATIONS, "delete", *names)

    if not ours:
        yield fail(what, f"does not tell {topic}: images dropped there are not answered", create)
    elif not right:
        yield fail(what, f"tells {topic} {_wrong(ours[0], wanted)}", f"{delete(ours)} && {create}")
    elif len(ours) > 1:
        said = f"tells {topic} {len(ours)} times, so images may be answered as often"
        yield warn(what, said, delete([each for each in ours if each is not right[0]]))
    else:
        yield ok(what, f"tells {topic} of {', '.join(wanted.event_types)}")


def _wrong(found: Mapping[str, Any], wanted: Notification) -> str:
    """How a notification differs from what it should be; empty when it does not."""
    events, payload = found.get("event_types", ("everything",)), found["payload_format"]
    if set(events) != set(wanted.event_types):
        return f"of {', '.join(events)}, not of {', '.join(wanted.event_types)}"
    if payload != _PAYLOAD:
        return f"with the payload {payload}, not {_PAYLOAD}"
    if prefix := found.get("object_name_prefix"):
        return f"only of names that begin with {prefix}"
    return ""
