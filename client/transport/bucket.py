"""Uploads images to the watched bucket: the bucket's notification is the request, the object's metadata its options."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from client.gcp import UPLOAD_TIMEOUT_S, Cloud, storage_retry
from client.images import Image
from client.results.request_tracker import Outcome, Requests, RequestTracker
from client.text import SendError
from client.transport.base import SendOptions, Sent, content_type, cut
from client.transport.receiving import Responses, reply_address
from functions.messages.contract import ObjectRef, upload_id
from functions.messages.trace_context import HEADER, TraceContext

OBJECT_NAME_BYTES = 1024
"""Bytes of an object's name in UTF-8: the limit of Cloud Storage."""


class Bucket:
    """A bucket of Cloud Storage that images are uploaded to."""

    def __init__(self, cloud: Cloud, name: str) -> None:
        self.name = name
        self._client: Any = cloud.storage_client()
        self._bucket = self._client.bucket(name)

    def upload(self, image: Image, name: str, metadata: Mapping[str, str] | None = None) -> ObjectRef:
        """Upload an image and return a reference to the object. Reads a file in parts, so its size does not matter."""
        from google.api_core.exceptions import GoogleAPIError

        blob = self._bucket.blob(name)
        blob.metadata = dict(metadata or {})
        try:
            with image.open() as file:
                blob.upload_from_file(
                    file,
                    size=image.size(),
                    content_type=content_type(image),
                    timeout=UPLOAD_TIMEOUT_S,
                    retry=storage_retry(),
                )
        except GoogleAPIError as exc:
            raise SendError.of_call("it could not be uploaded", exc, f"the bucket {self.name}") from exc
        return ObjectRef(self.name, name, int(blob.generation), blob.size)

    def close(self) -> None:
        """Close the connections. Call it only when no upload is running."""
        self._client.close()


class BucketTransport:
    """Uploads images. Several threads may call `send`."""

    threads = 8
    """Uploads at the same time, so that the waits for single replies overlap."""

    def __init__(
        self,
        bucket: Bucket,
        tracker: Requests,
        options: SendOptions,
        reply_to: str | None,
        prefix: str,
    ) -> None:
        self._bucket, self._tracker, self._options = bucket, tracker, options
        self._reply_to, self._prefix = reply_to, prefix

    def send(self, image: Image) -> Sent:
        """Upload one image. Bucket, name and generation of the object make the request id."""
        trace = TraceContext.begin()
        metadata = {**self._options.attributes(), HEADER: trace.header}
        if self._reply_to:
            metadata["reply_to"] = self._reply_to
        started = time.monotonic()
        ref = self._bucket.upload(image, object_name(image.name, self._prefix), metadata)
        request_id = upload_id(ref.bucket, ref.name, ref.generation or 0)
        if self._reply_to:
            self._tracker.expect(request_id, image, started, trace.trace_id)
        else:
            self._tracker.settle(Outcome(image, request_id, trace_id=trace.trace_id))
        return Sent(request_id, trace.trace_id)


@contextmanager
def open_bucket(
    cloud: Cloud,
    name: str,
    tracker: RequestTracker,
    responses: Responses | None,
    *,
    prefix: str = "",
    options: SendOptions | None = None,
) -> Iterator[BucketTransport]:
    """Open the transport to the watched bucket `name`, and the subscription first, so that no response is missed.

    Without `responses` no response is expected. `prefix` starts the name of every object; the images' names differ.
    """
    with reply_address(responses) as reply_to:
        bucket = Bucket(cloud, name)
        yield BucketTransport(bucket, tracker, options or SendOptions(), reply_to, prefix)
        if tracker.all_sent:
            bucket.close()


def object_name(name: str, prefix: str = "") -> str:
    """Return a name that Cloud Storage accepts: no control characters, at most 1,024 bytes."""
    clean = "".join(c if c.isprintable() else "_" for c in name)
    return prefix + cut(clean, OBJECT_NAME_BYTES - len(prefix.encode()))
