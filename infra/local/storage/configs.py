"""Notification configurations of a bucket through the API: create, read, list and delete."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from infra.local.storage import buckets
from infra.local.storage.answer import Refusal
from infra.local.storage.notify import HOST, Watch
from infra.local.storage.request import Request
from infra.local.storage.store import Event, Row, Store

EVENT_TYPES = ("OBJECT_FINALIZE", "OBJECT_METADATA_UPDATE", "OBJECT_DELETE", "OBJECT_ARCHIVE")
_PAYLOADS = ("JSON_API_V1", "NONE")
_KIND = "notification"
_TOPIC = re.compile(r"projects/[^/]+/topics/[^/]+")


def matching(store: Store, event: Event) -> list[Watch]:
    """The configurations that match an event."""
    watches = [_watch(row) for row in store.rows(_KIND, event.row.parent)]
    return [watch for watch in watches if watch.wants(event)]


def keep(store: Store, watch: Watch) -> Row:
    """Store a configuration; it replaces one with the same number."""
    optional = {
        "event_types": list(watch.event_types),
        "object_name_prefix": watch.prefix,
        "custom_attributes": dict(watch.custom),
    }
    settings = {name: value for name, value in optional.items() if value}
    data = {"topic": HOST + watch.topic, "payload_format": watch.payload, **settings}
    return store.put(Row(_KIND, watch.bucket, str(watch.id), data))


def create(request: Request, store: Store) -> Any:
    """Create a configuration that notifies a topic of a bucket's events."""
    bucket, asked = buckets.find(store, request.bucket), request.json()
    topic = str(asked.get("topic", "")).removeprefix(HOST)
    types, payload = asked.get("event_types") or (), asked.get("payload_format", "")
    custom = asked.get("custom_attributes") or {}
    if not _TOPIC.fullmatch(topic):
        raise Refusal(400, f"topic must look like {HOST}projects/PROJECT/topics/TOPIC, not {asked.get('topic')!r}")
    if payload not in _PAYLOADS:
        raise Refusal(400, f"payload_format must be one of {', '.join(_PAYLOADS)}, not {payload!r}")
    if unknown := [each for each in types if each not in EVENT_TYPES]:
        raise Refusal(400, f"event_types may hold {', '.join(EVENT_TYPES)}, not {unknown[0]!r}")
    if not isinstance(custom, Mapping) or not all(isinstance(value, str) for value in custom.values()):
        raise Refusal(400, "custom_attributes must be an object of strings")
    number = 1 + max((int(row.name) for row in store.rows(_KIND, bucket.name)), default=0)
    prefix = str(asked.get("object_name_prefix") or "")
    return _shown(keep(store, Watch(number, bucket.name, topic, tuple(types), prefix, payload, dict(custom))))


def ls(request: Request, store: Store) -> Any:
    """List the configurations of a bucket."""
    items = [_shown(row) for row in store.rows(_KIND, buckets.find(store, request.bucket).name)]
    return {"kind": "storage#notifications", **({"items": items} if items else {})}


def one(request: Request, store: Store) -> Any:
    """Read or delete a configuration."""
    bucket, number = buckets.find(store, request.bucket), request.params["number"]
    if not (row := store.get(_KIND, bucket.name, number)):
        raise Refusal(404, f"The bucket {bucket.name} has no notification configuration {number}", "notFound")
    return _shown(row) if request.method == "GET" else store.delete(row)


def _watch(row: Row) -> Watch:
    settings = row.data
    topic, types, prefix = (
        settings["topic"].removeprefix(HOST),
        settings.get("event_types", ()),
        settings.get("object_name_prefix", ""),
    )
    return Watch(
        int(row.name),
        row.parent,
        topic,
        tuple(types),
        prefix,
        settings["payload_format"],
        settings.get("custom_attributes", {}),
    )


def _shown(row: Row) -> dict[str, Any]:
    link = f"/storage/v1/b/{row.parent}/notificationConfigs/{row.name}"
    return {"kind": "storage#notification", "id": row.name, "etag": row.name, "selfLink": link, **row.data}
