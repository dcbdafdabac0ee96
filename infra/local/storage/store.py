"""The objects, in memory; every change is noted as an event that a notification may tell."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from gcp_storage_emulator.exceptions import BadRequest
from gcp_storage_emulator.storage import Storage

_REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an object. `resource` is its JSON at that moment; `extra` are further attributes."""

    type: str
    bucket: str
    name: str
    generation: str
    resource: bytes
    time: str
    extra: Mapping[str, str] = field(default_factory=dict)


def etag_of(resource: Mapping[str, Any]) -> str:
    """What names this state of an object or a bucket; another metageneration has another."""
    return base64.b64encode(f"{resource.get('generation', '')}/{resource['metageneration']}".encode()).decode()


class ObjectStore(Storage):  # type: ignore[misc]  # the package has no types
    """Buckets and objects. Not locked: the server makes one change at a time."""

    def __init__(self) -> None:
        super().__init__(use_memory_fs=True)
        self._store = _Files()
        self._events: list[Event] = []
        self._parts: dict[str, bytearray] = {}
        self._finished: dict[str, dict[str, Any]] = {}

    def take_events(self) -> list[Event]:
        """What happened since the last call."""
        events, self._events = self._events, []
        return events

    def current(self, bucket: str, name: str) -> dict[str, Any] | None:
        """The resource of a live object, or None."""
        resource: dict[str, Any] | None = self.objects.get(bucket, {}).get(name)
        return resource

    def create_file(
        self, bucket_name: str, file_name: str, content: bytes, file_obj: dict[str, Any], file_id: str | None = None
    ) -> None:
        before = self.current(bucket_name, file_name)
        file_obj["size"] = str(len(content))
        file_obj["metageneration"] = "1"  # the package counts an upload's own metadata as a change
        file_obj["etag"] = etag_of(file_obj)
        super().create_file(bucket_name, file_name, content, file_obj, file_id)
        if file_id:
            self._parts.pop(file_id, None)
            self._finished[file_id] = file_obj
            for old in list(self._finished)[:-_REMEMBERED]:
                del self._finished[old]
        if before:
            self._note("OBJECT_DELETE", before, overwrittenByGeneration=file_obj["generation"])
            self._note("OBJECT_FINALIZE", file_obj, overwroteGeneration=before["generation"])
        else:
            self._note("OBJECT_FINALIZE", file_obj)

    def delete_file(self, bucket_name: str, file_name: str) -> None:
        before = self.current(bucket_name, file_name)
        super().delete_file(bucket_name, file_name)
        if before:
            self._note("OBJECT_DELETE", before)

    def finished(self, upload_id: str) -> dict[str, Any] | None:
        """What a resumable upload made: its last answer may have been lost, and the client asks again."""
        return self._finished.get(upload_id)

    def add_to_resumable_upload(
        self, file_id: str, content: bytes, total_size: int | None = None, expected_start: int | None = None
    ) -> bytes | None:
        parts = self._parts.setdefault(file_id, bytearray())
        start = len(parts) if expected_start is None else expected_start
        if start > len(parts):
            raise BadRequest(f"The upload has {len(parts)} bytes so far; the next must start there, not at {start}")
        parts += content[len(parts) - start :]  # a chunk sent again, its answer lost, is not kept twice
        return bytes(parts[:total_size]) if total_size is not None and len(parts) >= total_size else None

    def get_resumable_byte_count(self, file_id: str) -> int:
        return len(self._parts.get(file_id, b""))

    def cancel(self, upload_id: str) -> None:
        """Forget a resumable upload."""
        self._parts.pop(upload_id, None)
        self.resumable.pop(upload_id, None)

    def delete_bucket(self, bucket_name: str) -> None:
        if not self.objects.get(bucket_name):
            for upload_id in [each for each, started in self.resumable.items() if started["bucket"] == bucket_name]:
                self.cancel(upload_id)
        super().delete_bucket(bucket_name)

    def patch_object(self, bucket_name: str, file_name: str, file_obj: dict[str, Any]) -> None:
        super().patch_object(bucket_name, file_name, file_obj)
        self._note("OBJECT_METADATA_UPDATE", file_obj)

    def _note(self, kind: str, resource: dict[str, Any], **extra: str) -> None:
        bucket, name, generation = resource["bucket"], resource["name"], str(resource["generation"])
        body = json.dumps(resource, ensure_ascii=False, indent=2).encode()
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        self._events.append(Event(kind, bucket, name, generation, body, now, extra))

    def _object_path(self, bucket_name: str, file_name: str) -> str:
        # Names are not paths: a//b, a/ and ../a are objects of their own.
        return f"{bucket_name}/{file_name}"

    def _write_config_to_file(self) -> None:
        """Nothing: the package would write every resource out again at each change, into memory."""


class _Files:
    """The bytes, by exact path; what the package asks of its own store."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}

    def read_bytes(self, path: str) -> bytes:
        if path not in self._files:
            raise FileNotFoundError(path)
        return self._files[path]

    def write_bytes(self, path: str, content: bytes) -> None:
        self._files[path] = content

    def remove_file(self, path: str) -> None:
        if self._files.pop(path, None) is None:
            raise FileNotFoundError(path)

    def remove_tree(self, path: str) -> None:
        for name in [name for name in self._files if name.startswith(f"{path}/")]:
            del self._files[name]

    def listdir(self, path: str) -> list[str]:
        prefix = f"{path}/" if path else ""
        return sorted({name[len(prefix) :].partition("/")[0] for name in self._files if name.startswith(prefix)})

    def makedirs(self, path: str) -> None:
        """Nothing: there are no folders."""
