"""Decodes an envelope, once, whatever carries the image: the message itself, a reference, or a bucket notification."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from functions.errors import InvalidRequest
from functions.messages.contract import (
    ID_LIMIT,
    TOP_K_LIMIT,
    Envelope,
    Ignored,
    ObjectRef,
    Rejected,
    Request,
    RequestOptions,
    Source,
    bounded_id,
    upload_id,
)
from functions.messages.trace_context import TraceContext
from functions.settings import BUCKET
from model.text import quoted, whole

JSON_BYTES = 200_000
"""Longest JSON of a reference or a notification, in bytes: to read 10 MB of brackets takes 500 MB and seconds."""

DEAD_LETTER_ATTEMPTS = "CloudPubSubDeadLetterSourceDeliveryCount"
"""The attribute that Pub/Sub adds to a dead letter ("Handle message failures", Google Cloud)."""

_FINALIZE = "OBJECT_FINALIZE"
_DIGITS = 18
"""Most digits of a generation, size or count: a number with more might not fit into 64 bits."""


def decode(envelope: Envelope) -> Request | Rejected | Ignored:
    """Decode a message. Never raises: a message that violates the contract becomes a Rejected."""
    attributes, body = envelope.attributes, _json_object(envelope.payload)
    notified = "eventType" in attributes and "bucketId" in attributes and "objectId" in attributes
    options = _metadata(body) if notified else attributes
    image: bytes | ObjectRef | InvalidRequest
    try:
        image = _notified(attributes, body or {}) if notified else _image(envelope.payload, body)
    except InvalidRequest as exc:
        image = exc
    reply_to, attempts = options.get("reply_to") or None, attributes.get(DEAD_LETTER_ATTEMPTS)
    common: dict[str, Any] = {
        "request_id": _upload_id(attributes) if notified else bounded_id(attributes.get("request_id") or envelope.id),
        "message_id": envelope.id,
        "source": Source(attributes.get("filename"), image.uri if isinstance(image, ObjectRef) else None),
        "reply_to": reply_to if reply_to and len(reply_to.encode()) <= ID_LIMIT else None,
        # The sender's own trace; for an upload without one, the trace of its delivery.
        "trace": TraceContext.of(options) or (TraceContext.of(attributes) if notified else None),
        "published_at": envelope.published_at,
        "delivery_attempt": envelope.delivery_attempt,
        "event": attributes["eventType"] if notified else None,
        "dead_letter_attempts": (attempts and _number(attempts)) or 0,
    }
    if notified and (reason := _ignorable(attributes, body or {})):
        return Ignored(reason=reason, **common)
    try:
        for name in ("reply_to",) if notified else ("request_id", "reply_to"):
            _check_length(name, options.get(name, ""))
        if isinstance(image, InvalidRequest):
            raise image
        stated: dict[str, Any] = {**options}
        if body and "explain" in body and not notified:
            stated.setdefault("explain", body["explain"])
        decoded = {name: read(stated[name]) for name, read in _OPTIONS.items() if name in stated}
        return Request(image=image, options=RequestOptions(**decoded), **common)
    except InvalidRequest as exc:
        return Rejected(reason=str(exc), **common)


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


def _json_object(payload: bytes) -> dict[str, Any] | None:
    """Return the JSON object that a message carries instead of an image, or None."""
    if payload[:1] != b"{" or len(payload) > JSON_BYTES:
        return None
    try:
        body: dict[str, Any] = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return body


def _metadata(resource: dict[str, Any] | None) -> dict[str, str]:
    """The options of an upload: the custom metadata of its object."""
    metadata = (resource or {}).get("metadata")
    if not isinstance(metadata, dict):
        return {}
    return {whole(str(key)): whole(str(value)) for key, value in metadata.items()}


def _upload_id(attributes: Mapping[str, str]) -> str:
    return upload_id(attributes["bucketId"], attributes["objectId"], attributes.get("objectGeneration", "0"))


def _ignorable(attributes: Mapping[str, str], resource: dict[str, Any]) -> str | None:
    """Why a notification requests no prediction, or None. Only a finished object that is not empty requests one."""
    if attributes["eventType"] != _FINALIZE:
        return f"event {attributes['eventType'][:80]}"
    if attributes["objectId"].endswith("/"):
        return "folder marker"
    if str(resource.get("size")) == "0":
        return "empty object"
    return None


def _notified(attributes: Mapping[str, str], resource: dict[str, Any]) -> ObjectRef:
    return ObjectRef(
        attributes["bucketId"],
        attributes["objectId"],
        _number(attributes.get("objectGeneration", "")),
        _number(str(resource.get("size", ""))),
    )


def _number(text: str) -> int | None:
    """A whole number of up to _DIGITS digits, or None."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None


def _image(payload: bytes, body: dict[str, Any] | None) -> bytes | ObjectRef:
    if not payload:
        raise InvalidRequest(
            'the message is empty; its data must be an image file or {"image_uri": "gs://bucket/object"}'
        )
    if payload[:1] == b"{" and len(payload) > JSON_BYTES:
        raise InvalidRequest(f"the message is JSON of {len(payload):,} bytes; at most {JSON_BYTES:,} are read")
    if body is None:
        return payload
    if "image_uri" not in body:
        raise InvalidRequest(
            'the message is JSON without image_uri; it must look like {"image_uri": "gs://bucket/object"}'
        )
    return parse_uri(body["image_uri"])


def _check_length(name: str, value: str) -> None:
    if (size := len(value.encode())) > ID_LIMIT:
        raise InvalidRequest(f"{name} is {size} bytes; at most {ID_LIMIT} are allowed")


def _top_k(value: str) -> int:
    if value.isascii() and value.isdigit() and len(value) < 9 and 1 <= int(value) <= TOP_K_LIMIT:
        return int(value)
    raise InvalidRequest(f"top_k is {quoted(value)}; it must be a whole number from 1 to {TOP_K_LIMIT}")


def _model(value: str) -> str | None:
    return value or None


def _explain(value: object) -> bool:
    if value in ("true", "false"):
        return value == "true"
    if isinstance(value, bool):
        return value
    raise InvalidRequest(f"explain is {quoted(value)}; it must be true or false")


def _expires_at(value: str) -> datetime | None:
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


_OPTIONS: dict[str, Callable[[Any], Any]] = {
    "top_k": _top_k,
    "model": _model,
    "expires_at": _expires_at,
    "explain": _explain,
}
"""Reads each field of RequestOptions from its attribute. Raises InvalidRequest."""
