"""Decodes an envelope, once, whatever carries the image: the message itself, a reference, or a bucket notification."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from functions.errors import InvalidRequest
from functions.messages.contract import (
    ID_LIMIT,
    OPTIONS,
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
from functions.messages.trace_context import HEADER, TraceContext
from functions.settings import BUCKET
from model.text import quoted, whole

T = TypeVar("T")

LINES_TYPE = "application/x-ndjson"
"""The attribute content_type of a message with several images (image_lines.py)."""

JSON_BYTES = 200_000
"""Longest JSON of a reference or a notification, in bytes: to read 10 MB of brackets takes 500 MB and seconds."""

DEAD_LETTER_ATTEMPTS = "CloudPubSubDeadLetterSourceDeliveryCount"
"""The attribute that Pub/Sub adds to a dead letter ("Handle message failures", Google Cloud)."""

FIELDS = ("request_id", *OPTIONS, HEADER)
"""The fields that the JSON of a reference may have, apart from image_uri. Each counts like the attribute of its name,
and the attribute takes precedence.
"""

_REFERENCE = '{"image_uri": "gs://bucket/object"}'
_BOM = b"\xef\xbb\xbf"
_SPACE = b" \t\r\n"
"""White space in JSON (RFC 8259, section 2). A parser may ignore a byte order mark (section 8.1)."""

_FINALIZE = "OBJECT_FINALIZE"
_DIGITS = 18
"""Most digits of a generation, size or count: a number with more might not fit into 64 bits."""


def decode(envelope: Envelope) -> Request | Rejected | Ignored:
    """Decode a message. Never raises: a message that violates the contract becomes a Rejected."""
    attributes, body = envelope.attributes, None
    notified = "eventType" in attributes and "bucketId" in attributes and "objectId" in attributes
    image: bytes | ObjectRef | InvalidRequest
    try:
        if envelope.problem:
            raise InvalidRequest(envelope.problem)
        if notified:
            body = _resource(envelope.payload)
            image = _notified(attributes, body)
        else:
            body = _json_object(envelope.payload)
            image = envelope.payload if body is None else _reference(body)
    except InvalidRequest as exc:
        image = exc
    options = _metadata(body or {}) if notified else {**_fields(body), **attributes} if body else attributes
    common = common_fields(envelope, options) | {
        "request_id": _upload_id(attributes) if notified else bounded_id(options.get("request_id") or envelope.id),
        "source": Source(options.get("filename"), image.uri if isinstance(image, ObjectRef) else None),
        # The sender's own trace; for an upload without one, the trace of its delivery.
        "trace": TraceContext.of(options) or (TraceContext.of(attributes) if notified else None),
        "event": attributes["eventType"] if notified else None,
    }
    if notified and (reason := _ignorable(attributes, body or {})):
        return Ignored(reason=reason, **common)
    try:
        for name in ("reply_to",) if notified else ("request_id", "reply_to"):
            check_length(name, options.get(name, ""))
        if isinstance(image, InvalidRequest):
            raise image
        return Request(image=image, options=options_of(options), **common)
    except InvalidRequest as exc:
        return Rejected(reason=str(exc), **common)


def common_fields(envelope: Envelope, options: Mapping[str, str]) -> dict[str, Any]:
    """The fields of Decoded that do not depend on the image. `options`: those of the request."""
    reply_to, attempts = options.get("reply_to") or None, envelope.attributes.get(DEAD_LETTER_ATTEMPTS)
    return {
        "message_id": envelope.id,
        "reply_to": reply_to if reply_to and len(reply_to.encode()) <= ID_LIMIT else None,
        "published_at": envelope.published_at,
        "delivery_attempt": envelope.delivery_attempt,
        "dead_letter_attempts": (attempts and _number(attempts)) or 0,
    }


def options_of(options: Mapping[str, str]) -> RequestOptions:
    """Read the request options among a message's attributes. Raises InvalidRequest."""
    return RequestOptions(**{name: read(options[name]) for name, read in _OPTIONS.items() if name in options})


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
    """The JSON object that a message carries instead of an image, or None. Raises InvalidRequest.

    No image file begins like a JSON object. Nothing is copied where an image begins.
    """
    text = payload.removeprefix(_BOM).lstrip(_SPACE)
    if not text:
        raise InvalidRequest(f"the message is empty; its data must be an image file or {_REFERENCE}")
    if not text.startswith(b"{"):
        return None
    if len(payload) > JSON_BYTES:
        raise InvalidRequest(
            f"the message is JSON of {len(payload):,} bytes; at most {JSON_BYTES:,} are read. "
            f"Send the bytes of an image file as they are, or {_REFERENCE}"
        )
    try:
        body: dict[str, Any] = json.loads(text, object_pairs_hook=distinct)
    except InvalidRequest:
        raise
    except (ValueError, RecursionError):
        raise InvalidRequest(
            f"the message begins with {{ but is not JSON; it must be an image file or {_REFERENCE}. Lines of JSON for "
            f"several images need the attribute content_type={LINES_TYPE}"
        ) from None
    return body


def distinct(pairs: Iterable[tuple[str, T]]) -> dict[str, T]:
    """Return pairs as a dict. Raises InvalidRequest for a name that comes twice: nobody knows which value is meant."""
    found: dict[str, T] = {}
    for name, value in pairs:
        if name in found:
            raise InvalidRequest(f"{quoted(name)} is stated twice; it must be stated once")
        found[name] = value
    return found


def _fields(body: dict[str, Any]) -> dict[str, str]:
    """The options in the JSON of a reference, as attributes would state them."""
    return {name: _text(body[name]) for name in FIELDS if name in body and _is_option(name, body[name])}


def _is_option(name: str, value: object) -> bool:
    """Whether a value can be that of an attribute. The readers of _OPTIONS refuse what they do not understand."""
    return name in _OPTIONS or isinstance(value, str | int | float)


def _text(value: object) -> str:
    return whole(value if isinstance(value, str) else json.dumps(value))


def _resource(payload: bytes) -> dict[str, Any]:
    """The object that a notification describes; empty when it cannot be read."""
    try:
        body = json.loads(payload) if len(payload) <= JSON_BYTES else None
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _metadata(resource: dict[str, Any]) -> dict[str, str]:
    """The options of an upload: the custom metadata of its object."""
    metadata = resource.get("metadata")
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


def _reference(body: dict[str, Any]) -> ObjectRef:
    if "image_uri" not in body:
        found = f" (it has {quoted(next(iter(body)))})" if body else ""
        raise InvalidRequest(
            f"the message is JSON without image_uri{found}; it must look like {_REFERENCE}, or be the bytes of an "
            "image file as they are, not in JSON"
        )
    for name, value in body.items():
        if name not in FIELDS and name != "image_uri":
            raise InvalidRequest(f"the JSON has the field {quoted(name)}; allowed are image_uri, {', '.join(FIELDS)}")
        if name in FIELDS and not _is_option(name, value):
            raise InvalidRequest(f"{name} is {quoted(value)}; it must be text")
    return parse_uri(body["image_uri"])


def check_length(name: str, value: str) -> None:
    """Check a request_id or a reply_to. Raises InvalidRequest."""
    if (size := len(value.encode())) > ID_LIMIT:
        raise InvalidRequest(f"{name} is {size} bytes; at most {ID_LIMIT} are allowed")


def _top_k(value: str) -> int:
    if value.isascii() and value.isdigit() and len(value) < 9 and 1 <= int(value) <= TOP_K_LIMIT:
        return int(value)
    raise InvalidRequest(f"top_k is {quoted(value)}; it must be a whole number from 1 to {TOP_K_LIMIT}")


def _model(value: str) -> str | None:
    return value or None


def read_flag(name: str, value: str) -> bool:
    """Read `true` or `false`. Raises InvalidRequest, which names the option."""
    if value not in ("true", "false"):
        raise InvalidRequest(f"{name} is {quoted(value)}; it must be true or false")
    return value == "true"


def _expires_at(value: str) -> datetime | None:
    if not value:
        return None
    try:
        moment = datetime.fromisoformat(value.upper())  # RFC 3339 allows t and z too
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
    "explain": partial(read_flag, "explain"),
    "features": partial(read_flag, "features"),
}
"""Reads each field of RequestOptions from its attribute. Raises InvalidRequest."""
