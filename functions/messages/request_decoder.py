"""Reading requests: one decoder for all three carriers (image bytes, a reference, a bucket notification).

Every refusal is an InvalidRequest that names the field, its value and what is allowed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from functions.errors import InvalidRequest
from functions.messages.contract import (
    DEFAULT_TOP_K,
    ID_LIMIT,
    TOP_K_LIMIT,
    Envelope,
    ObjectRef,
    Request,
    Source,
    bounded_id,
    upload_id,
)
from functions.messages.trace_context import TraceContext
from functions.settings import BUCKET
from model.text import quoted, whole

JSON_BYTES = 200_000
"""Of a reference or a bucket's notification: 10 MB of brackets would take half a gigabyte and seconds to read."""

_FINALIZE = "OBJECT_FINALIZE"
_DIGITS = 18
"""Of a generation or a size: any more might not be one, in 64 bits."""


def decode_request(envelope: Envelope) -> Request:
    """Read a request, or raise InvalidRequest naming the field, its value and what is allowed."""
    notified = is_notification(envelope)
    options, beside = _options(envelope), {} if notified else _body(envelope) or {}
    for name in ("reply_to",) if notified else ("request_id", "reply_to"):
        if (size := len(options.get(name, "").encode())) > ID_LIMIT:
            raise InvalidRequest(f"{name} is {size} bytes; at most {ID_LIMIT} are allowed")
    return Request(
        request_id_of(envelope),
        _notified(envelope) if notified else _image(envelope),
        _top_k(options.get("top_k")),
        options.get("model") or None,
        _time(options.get("expires_at")),
        _flag("explain", options.get("explain", beside.get("explain", False))),
    )


def is_notification(envelope: Envelope) -> bool:
    """Whether a bucket sent it."""
    attributes = envelope.attributes
    return "eventType" in attributes and "bucketId" in attributes and "objectId" in attributes


def is_inline(envelope: Envelope) -> bool:
    """Whether it carries an image itself, and not the name of one."""
    return envelope.payload[:1] != b"{" and not is_notification(envelope)


def ignorable(envelope: Envelope) -> str | None:
    """Why a bucket notification asks for no prediction, or None: only finished objects with bytes in them do."""
    if not is_notification(envelope):
        return None
    attributes = envelope.attributes
    if attributes["eventType"] != _FINALIZE:
        return f"event {attributes['eventType'][:80]}"
    if attributes["objectId"].endswith("/"):
        return "folder marker"
    if str(_resource(envelope).get("size")) == "0":
        return "empty object"
    return None


def request_id_of(envelope: Envelope) -> str:
    """The id that the response will carry, also when the request cannot be read: never empty, never over ID_LIMIT."""
    attributes = envelope.attributes
    if is_notification(envelope):
        return upload_id(attributes["bucketId"], attributes["objectId"], attributes.get("objectGeneration", "0"))
    return bounded_id(attributes.get("request_id") or envelope.id)


def source_of(envelope: Envelope) -> Source:
    """Where the image came from, as far as the envelope says; never fails."""
    filename = envelope.attributes.get("filename")
    try:
        image = _notified(envelope) if is_notification(envelope) else _image(envelope)
    except InvalidRequest:
        return Source(filename)
    return Source(filename, image.uri if isinstance(image, ObjectRef) else None)


def reply_to_of(envelope: Envelope) -> str | None:
    """Whom the response is for; one over ID_LIMIT can be nobody's filter and is dropped."""
    reply_to = _options(envelope).get("reply_to") or None
    return reply_to if reply_to is None or len(reply_to.encode()) <= ID_LIMIT else None


def trace_of(envelope: Envelope) -> TraceContext | None:
    """The trace that the sender began; for an upload without one, the trace of its delivery."""
    return TraceContext.of(_options(envelope)) or TraceContext.of(envelope.attributes)


def parse_uri(uri: object) -> ObjectRef:
    """Read `gs://bucket/object` or `gs://bucket/object#generation`, or raise InvalidRequest.

    Object names may hold `#`: only a whole number after the last one is a generation.
    """
    if isinstance(uri, str) and uri.startswith("gs://"):
        bucket, _, name = whole(uri).removeprefix("gs://").partition("/")
        stem, mark, generation = name.rpartition("#")
        number = _number(generation) if mark else None
        if number is not None:
            name = stem
        if BUCKET.fullmatch(bucket) and 0 < len(name.encode()) <= 1024:
            return ObjectRef(bucket, name, number)
    raise InvalidRequest(
        f"image_uri is {quoted(uri)}; it must look like gs://bucket/object or gs://bucket/object#generation"
    )


def _options(envelope: Envelope) -> Mapping[str, str]:
    """Where the optional attributes are: on the message, or for an upload in the object's own metadata."""
    if not is_notification(envelope):
        return envelope.attributes
    metadata = _resource(envelope).get("metadata")
    if not isinstance(metadata, dict):
        return {}
    return {whole(str(key)): whole(str(value)) for key, value in metadata.items()}


def _resource(envelope: Envelope) -> dict[str, Any]:
    """The object resource that a JSON_API_V1 notification carries; empty when it carries none."""
    return _body(envelope) or {}


def _notified(envelope: Envelope) -> ObjectRef:
    attributes = envelope.attributes
    return ObjectRef(
        attributes["bucketId"],
        attributes["objectId"],
        _number(attributes.get("objectGeneration", "")),
        _number(str(_resource(envelope).get("size", ""))),
    )


def _number(text: str) -> int | None:
    """A whole number of Cloud Storage's or None; Python itself refuses to read thousands of digits."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None


def _image(envelope: Envelope) -> bytes | ObjectRef:
    payload = envelope.payload
    if not payload:
        raise InvalidRequest(
            'the message is empty; its data must be an image file or {"image_uri": "gs://bucket/object"}'
        )
    if payload[:1] == b"{" and len(payload) > JSON_BYTES:
        raise InvalidRequest(f"the message is JSON of {len(payload):,} bytes; at most {JSON_BYTES:,} are read")
    body = _body(envelope)
    if body is None:
        return payload
    if "image_uri" not in body:
        raise InvalidRequest(
            'the message is JSON without image_uri; it must look like {"image_uri": "gs://bucket/object"}'
        )
    return parse_uri(body["image_uri"])


def _body(envelope: Envelope) -> dict[str, Any] | None:
    """The JSON object that a message carries in place of an image, or None."""
    if envelope.payload[:1] != b"{" or len(envelope.payload) > JSON_BYTES:
        return None
    try:
        body: dict[str, Any] = json.loads(envelope.payload)
    except (ValueError, RecursionError):
        return None
    return body


def _top_k(value: str | None) -> int:
    if value is None:
        return DEFAULT_TOP_K
    if value.isascii() and value.isdigit() and len(value) < 9 and 1 <= int(value) <= TOP_K_LIMIT:
        return int(value)
    raise InvalidRequest(f"top_k is {quoted(value)}; it must be a whole number from 1 to {TOP_K_LIMIT}")


def _flag(name: str, value: object) -> bool:
    if value in ("true", "false"):
        return value == "true"
    if isinstance(value, bool):
        return value
    raise InvalidRequest(f"{name} is {quoted(value)}; it must be true or false")


def _time(value: str | None) -> datetime | None:
    if not value:
        return None
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError("no zone")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidRequest(
            f"expires_at is {quoted(value)}; it must be a time with its zone, such as 2026-11-21T09:30:00Z (RFC 3339)"
        ) from None
