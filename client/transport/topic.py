"""Publishes images on the request topic: small images in the message, large ones as a reference to an object."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from client.gcp import CALL_TIMEOUT_S, UPLOAD_TIMEOUT_S, Cloud, UsageError
from client.images import Image
from client.results.request_tracker import Outcome, Requests, RequestTracker
from client.text import SendError
from client.transport.base import EACH, Publisher, SendOptions, Sent, content_type, cut
from client.transport.broker import broker_of
from client.transport.bucket import Bucket, object_name
from client.transport.gatherer import AUTO, AUTO_BYTES, Gathered, Gatherer, images_of, threads_of
from client.transport.receiving import Responses, reply_address
from functions.messages.contract import ObjectRef, encode_reference
from functions.messages.image_lines import RESPONSES
from functions.messages.trace_context import TraceContext

INLINE_LIMIT = 1_000_000
"""Bytes of the largest image that travels in the message itself, unless the variable INLINE_LIMIT sets another size."""

MAX_INLINE_LIMIT = 3_000_000
"""Upper bound of INLINE_LIMIT in bytes. Google's client library on an emulator receives no message above 4 MiB, and
the base64 body of a push is a third larger than the image."""

_ATTRIBUTE_BYTES = 1024
"""Bytes of a message attribute's value, and of an ordering key, in UTF-8: the limit of Pub/Sub."""

_CONFIRM_S = UPLOAD_TIMEOUT_S + CALL_TIMEOUT_S
"""Seconds until the broker must have confirmed a message."""


def inline_limit(environ: Mapping[str, str]) -> int:
    """Return the variable INLINE_LIMIT in bytes. Raises UsageError."""
    text = environ.get("INLINE_LIMIT", "").strip() or str(INLINE_LIMIT)
    if text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= MAX_INLINE_LIMIT:
        return int(text)
    raise UsageError(f"INLINE_LIMIT is {text!r}; it must be a whole number of bytes from 1 to {MAX_INLINE_LIMIT}")


class TopicTransport:
    """Publishes requests. Several threads may call `send`. Transports may share a publisher.

    With an `ordering_key`, one thread publishes, and subscriptions with message ordering deliver in that order.
    """

    def __init__(
        self,
        publisher: Publisher,
        tracker: Requests,
        options: SendOptions,
        reply_to: str | None,
        payload_bucket: Bucket | None,
        inline_limit: int = INLINE_LIMIT,
        ordering_key: str = "",
    ) -> None:
        self._publisher = publisher
        self._tracker, self._options, self._reply_to = tracker, options, reply_to
        self._payload_bucket, self._inline_limit = payload_bucket, inline_limit
        self._folder = reply_to or uuid.uuid4().hex
        self._ordering_key = cut(ordering_key, _ATTRIBUTE_BYTES)
        most = images_of(self._options.gather)
        self._gatherer: Gatherer | None = None
        if most > 1 and not ordering_key:
            asked = {} if self._options.responses == EACH else {RESPONSES: self._options.responses}
            self._gatherer = Gatherer(publisher.publish, most, asked)

    @property
    def threads(self) -> int:
        """Images published at the same time, so that several of them share a message or a publish call."""
        return 1 if self._ordering_key else threads_of(self._options.gather)

    def send(self, image: Image) -> Sent:
        """Publish one image and wait until the broker confirms it."""
        request_id, trace = image.request_id or uuid.uuid4().hex, TraceContext.begin()
        by_reference = image.reference is None and image.size() > self._inline_limit
        if by_reference and self._payload_bucket is None:
            raise SendError(
                f"it is larger than {self._inline_limit:,} bytes and must go through a bucket: "
                "give --bucket, or set PAYLOAD_BUCKET"
            )
        if self._reply_to:
            self._tracker.expect(request_id, image, trace_id=trace.trace_id)
        content = image.reference or (self._upload(image, request_id) if by_reference else image.read())
        self._send(content, self._attributes(image, request_id) | trace.attributes)
        if not self._reply_to:
            self._tracker.settle(Outcome(image, request_id, trace_id=trace.trace_id))
        return Sent(request_id, trace.trace_id)

    def _upload(self, image: Image, request_id: str) -> ObjectRef:
        assert self._payload_bucket is not None
        name = object_name(image.filename, f"{self._folder}/{request_id}/")
        return self._payload_bucket.upload(image, name)

    def _attributes(self, image: Image, request_id: str) -> dict[str, str]:
        attributes = dict(self._options.attributes())
        attributes |= {"request_id": request_id, "filename": cut(image.filename, _ATTRIBUTE_BYTES)}
        if self._reply_to:
            attributes["reply_to"] = self._reply_to
        if kind := content_type(image):
            attributes["content_type"] = kind
        return attributes

    def _is_gathered(self, content: bytes | ObjectRef) -> bool:
        is_small = isinstance(content, ObjectRef) or len(content) <= AUTO_BYTES
        return is_small or self._options.gather != AUTO

    def _send(self, content: bytes | ObjectRef, attributes: Mapping[str, str]) -> None:
        """Publish an image, by itself or with others, and wait until the broker confirms it."""
        try:
            if self._gatherer and self._is_gathered(content):
                self._gatherer.send(Gathered(content, attributes), _CONFIRM_S)
            else:
                data = encode_reference(content) if isinstance(content, ObjectRef) else content
                self._publisher.publish(data, attributes, self._ordering_key).result(_CONFIRM_S)
        except Exception as exc:
            raise self._publisher.failed(exc, self._ordering_key) from exc


@contextmanager
def open_topic(
    cloud: Cloud,
    tracker: RequestTracker,
    responses: Responses | None,
    *,
    options: SendOptions | None = None,
    payload_bucket: str = "",
    inline_limit: int = INLINE_LIMIT,
    ordering_key: str = "",
) -> Iterator[TopicTransport]:
    """Open the transport to the request topic, and the subscription first, so that no response is missed.

    Without `responses` no response is expected. `payload_bucket` is the bucket for images above `inline_limit` bytes.
    """
    with reply_address(responses) as reply_to:
        bucket = Bucket(cloud, payload_bucket) if payload_bucket else None
        publisher = broker_of(cloud).publisher(ordered=bool(ordering_key))
        yield TopicTransport(publisher, tracker, options or SendOptions(), reply_to, bucket, inline_limit, ordering_key)
        if tracker.all_sent:
            publisher.close()
            if bucket:
                bucket.close()
