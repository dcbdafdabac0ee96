"""Publishing pictures: small ones whole, large ones as a reference to an object in the payloads bucket."""

from __future__ import annotations

import mimetypes
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from client.gcp import CALL_TIMEOUT_S, UPLOAD_TIMEOUT_S, Cloud, patience, publisher, storage_patience
from client.image_files import Picture
from client.results.request_tracker import Outcome, RequestTracker
from client.text import Unsendable, plain
from functions.messages.contract import ObjectRef, encode_reference, encode_time
from functions.messages.trace_context import TraceContext

THREADS = 16
INLINE_LIMIT = 1_000_000
INLINE_LIMIT_MOST = 3_000_000
"""Above 4 MiB a stock client on an emulator receives nothing, and a base64 push body is a third larger."""

_ATTRIBUTE_BYTES = 1024
_OBJECT_NAME_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Wishes:
    """What each request may ask for, besides its image."""

    top_k: int | None = None
    model: str | None = None
    expires_in_s: float | None = None
    explain: bool = False

    def attributes(self) -> dict[str, str]:
        """As the contract's optional attributes; `expires_at` counts from now."""
        given: dict[str, str] = {}
        if self.top_k is not None:
            given["top_k"] = str(self.top_k)
        if self.model:
            given["model"] = self.model
        if self.expires_in_s is not None:
            given["expires_at"] = encode_time(datetime.now(UTC) + timedelta(seconds=self.expires_in_s))
        if self.explain:
            given["explain"] = "true"
        return given


class Bucket:
    """Puts files into one bucket."""

    def __init__(self, cloud: Cloud, name: str) -> None:
        self.name = name
        self._client: Any = cloud.storage_client()
        self._bucket = self._client.bucket(name)

    def put(self, picture: Picture, name: str, metadata: Mapping[str, str] | None = None) -> ObjectRef:
        """Upload a file and say what it became; read piece by piece, so its size does not matter."""
        blob = self._bucket.blob(name)
        blob.metadata = dict(metadata or {})
        blob.upload_from_filename(
            str(picture.path), content_type=content_type(picture), timeout=UPLOAD_TIMEOUT_S, retry=storage_patience()
        )
        return ObjectRef(self.name, name, int(blob.generation), blob.size)

    def close(self) -> None:
        """Let the connections go; only when nothing is being uploaded any more."""
        self._client.close()


class Sender:
    """Publishes requests. `send` may be called from several threads."""

    def __init__(
        self,
        cloud: Cloud,
        tracker: RequestTracker,
        wishes: Wishes,
        reply_to: str | None,
        payloads: Bucket | None,
        inline_limit: int = INLINE_LIMIT,
    ) -> None:
        self._tracker, self._wishes, self._reply_to = tracker, wishes, reply_to
        self._payloads, self._inline_limit = payloads, inline_limit
        self._folder = reply_to or uuid.uuid4().hex
        self._topic = cloud.topic_path(cloud.topic)
        self._publisher = publisher()

    def send(self, picture: Picture) -> None:
        """Publish one picture and wait for the broker. Raises what went wrong."""
        request_id, trace = uuid.uuid4().hex, TraceContext.begin()
        by_reference = picture.path.stat().st_size > self._inline_limit
        if by_reference and self._payloads is None:
            raise Unsendable(
                f"it is over {self._inline_limit:,} bytes and must go through a bucket: "
                "give --bucket, or set PAYLOAD_BUCKET"
            )
        if self._reply_to:
            self._tracker.expect(request_id, picture, trace_id=trace.trace_id)
        data = self._park(picture, request_id) if by_reference else picture.path.read_bytes()
        self._publish(data, self._attributes(picture, request_id) | trace.attributes)
        if not self._reply_to:
            self._tracker.settle(Outcome(picture, request_id, trace_id=trace.trace_id))

    def close(self) -> None:
        """Let the connection go; only when nothing is being sent any more."""
        self._publisher.stop()
        self._publisher.transport.close()

    def _park(self, picture: Picture, request_id: str) -> bytes:
        assert self._payloads is not None
        name = object_name(picture.path.name, f"{self._folder}/{request_id}/")
        return encode_reference(self._payloads.put(picture, name))

    def _attributes(self, picture: Picture, request_id: str) -> dict[str, str]:
        attributes = self._wishes.attributes()
        attributes |= {"request_id": request_id, "filename": cut(picture.path.name, _ATTRIBUTE_BYTES)}
        if self._reply_to:
            attributes["reply_to"] = self._reply_to
        if kind := content_type(picture):
            attributes["content_type"] = kind
        return attributes

    def _publish(self, data: bytes, attributes: Mapping[str, str]) -> None:
        try:
            future = self._publisher.publish(
                self._topic, data, retry=patience(), timeout=UPLOAD_TIMEOUT_S, **attributes
            )
            future.result(UPLOAD_TIMEOUT_S + CALL_TIMEOUT_S)
        except Exception as exc:
            raise Unsendable(f"it could not be published: {plain(exc)}") from exc


def content_type(picture: Picture) -> str | None:
    """What the file's name says that it is."""
    return mimetypes.guess_type(picture.path.name)[0]


def cut(text: str, size: int) -> str:
    """The first `size` bytes of text as UTF-8, whole characters only."""
    return text.encode("utf-8", "replace")[:size].decode("utf-8", "ignore")


def object_name(name: str, prefix: str = "") -> str:
    """A name that Cloud Storage takes: no control characters, at most 1,024 bytes."""
    clean = "".join(c if c.isprintable() else "_" for c in name)
    return prefix + cut(clean, _OBJECT_NAME_BYTES - len(prefix.encode()))
