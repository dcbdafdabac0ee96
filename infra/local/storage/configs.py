"""Notification configurations through the API: created, read, listed and deleted on a bucket."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from typing import Any

from gcp_storage_emulator.exceptions import BadRequest

from infra.local.storage.answer import Answer
from infra.local.storage.notify import Watch
from infra.local.storage.requests import StorageRequest
from infra.local.storage.store import Event, ObjectStore

EVENT_TYPES = ("OBJECT_FINALIZE", "OBJECT_METADATA_UPDATE", "OBJECT_DELETE", "OBJECT_ARCHIVE")
_PAYLOADS = ("JSON_API_V1", "NONE")
_PATH = re.compile(r"(?:/storage/v1)?/b/([-.\w]+)/notificationConfigs(?:/(\w+))?")
_HOST = "//pubsub.googleapis.com/"
_TOPIC = re.compile(r"projects/[^/]+/topics/[^/]+")


class Configs:
    """The configurations of all buckets. Changed under the server's lock; read by any thread."""

    def __init__(self, watches: Iterable[Watch] = ()) -> None:
        self._watches = {(watch.bucket, str(watch.id)): watch for watch in watches}
        taken = max((watch.id for watch in self._watches.values()), default=0)
        self._ids = itertools.count(taken + 1)

    def wanting(self, event: Event) -> list[Watch]:
        """Who is told of an event."""
        return [watch for watch in list(self._watches.values()) if watch.wants(event)]

    def forget(self, bucket: str) -> None:
        """A bucket is gone, and its configurations with it."""
        self._watches = {key: watch for key, watch in self._watches.items() if key[0] != bucket}

    def answer(self, request: StorageRequest, answer: Answer, store: ObjectStore) -> bool:
        """Answer a request for notification configurations; False when it is for something else."""
        match = _PATH.fullmatch(request.path)
        if not match:
            return False
        bucket, number = match[1], match[2]
        there = self._watches.get((bucket, number or ""))
        if not store.get_bucket(bucket):
            answer.refuse(404, f"The bucket {bucket} does not exist")
        elif (request.method, number) == ("GET", None):
            items = [_resource(watch) for watch in self._watches.values() if watch.bucket == bucket]
            answer.json({"kind": "storage#notifications", **({"items": items} if items else {})})
        elif (request.method, number) == ("POST", None):
            watch = _watch(next(self._ids), bucket, request.data)
            self._watches = {**self._watches, (bucket, str(watch.id)): watch}
            answer.json(_resource(watch))
        elif not there:
            answer.refuse(404, f"The bucket {bucket} has no notification configuration {number or ''}")
        elif request.method == "GET":
            answer.json(_resource(there))
        elif request.method == "DELETE":
            self._watches = {key: watch for key, watch in self._watches.items() if watch is not there}
            answer.status = 204
        else:
            answer.refuse(405, f"{request.method} is not for notification configurations; delete it and create another")
        return True


def _watch(number: int, bucket: str, asked: Any) -> Watch:
    asked = asked if isinstance(asked, Mapping) else {}
    topic = str(asked.get("topic", "")).removeprefix(_HOST)
    types, payload = asked.get("event_types") or (), asked.get("payload_format", "")
    custom = asked.get("custom_attributes") or {}
    if not _TOPIC.fullmatch(topic):
        raise BadRequest(f"topic must look like {_HOST}projects/PROJECT/topics/TOPIC, not {asked.get('topic')!r}")
    if payload not in _PAYLOADS:
        raise BadRequest(f"payload_format must be one of {', '.join(_PAYLOADS)}, not {payload!r}")
    if unknown := [each for each in types if each not in EVENT_TYPES]:
        raise BadRequest(f"event_types may hold {', '.join(EVENT_TYPES)}, not {unknown[0]!r}")
    if not isinstance(custom, Mapping) or not all(isinstance(value, str) for value in custom.values()):
        raise BadRequest("custom_attributes must be an object of strings")
    prefix = str(asked.get("object_name_prefix") or "")
    return Watch(number, bucket, topic, tuple(types), prefix, payload, dict(custom))


def _resource(watch: Watch) -> dict[str, Any]:
    optional = {
        "event_types": list(watch.event_types),
        "object_name_prefix": watch.prefix,
        "custom_attributes": dict(watch.custom),
    }
    return {
        "kind": "storage#notification",
        "id": str(watch.id),
        "etag": str(watch.id),
        "selfLink": f"/storage/v1/b/{watch.bucket}/notificationConfigs/{watch.id}",
        "topic": f"{_HOST}{watch.topic}",
        "payload_format": watch.payload,
        **{name: value for name, value in optional.items() if value},
    }
