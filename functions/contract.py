"""The messages: what travels, and nothing else. Standard library and our own words only, so that clients may import it.

One decoder reads all three carriers of a request: image bytes, a reference, a bucket notification (README, "Messages").
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from functions.errors import InvalidRequest
from model.labels import Prediction

SCHEMA_VERSION = 1
DEFAULT_TOP_K = 5
TOP_K_LIMIT = 100
ID_LIMIT = 256
"""Bytes of a request_id and of a reply_to: what a subscription filter can hold."""

_FINALIZE = "OBJECT_FINALIZE"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message as any door delivers it: an id, string attributes, a payload.

    `published_at` is the broker's publish time; `delivery_attempt` counts from 1 (0: the door does not know).
    """

    id: str
    payload: bytes = b""
    attributes: Mapping[str, str] = field(default_factory=dict)
    published_at: datetime | None = None
    delivery_attempt: int = 0


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """An image that lives in a bucket. `size` is in bytes, where the sender of the reference knows it."""

    bucket: str
    name: str
    generation: int | None = None
    size: int | None = None

    @property
    def uri(self) -> str:
        """`gs://bucket/object`, with `#generation` where it is known."""
        generation = "" if self.generation is None else f"#{self.generation}"
        return f"gs://{self.bucket}/{self.name}{generation}"


@dataclass(frozen=True, slots=True)
class Request:
    """A decoded envelope."""

    request_id: str
    image: bytes | ObjectRef
    top_k: int = DEFAULT_TOP_K
    model: str | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Error:
    """Why there are no predictions: a code from functions/errors.py and a sentence for the sender."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Model:
    """Which model answered. `digest` names the version for ever: `sha256:` and 64 hex digits."""

    name: str
    version: str
    digest: str
    engine: str


@dataclass(frozen=True, slots=True)
class Source:
    """Where the image came from."""

    filename: str | None = None
    image_uri: str | None = None


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds: waiting at the broker, fetching from the bucket, decoding, scoring, and receipt to answer."""

    queue: float = 0.0
    fetch: float = 0.0
    decode: float = 0.0
    predict: float = 0.0
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class Response:
    """The answer to one request: either `predictions` or `error`."""

    request_id: str
    predictions: tuple[Prediction, ...] = ()
    error: Error | None = None
    model: Model | None = None
    source: Source = Source()
    timing_ms: Timing = Timing()
    delivery_attempt: int = 0
    completed_at: str = ""
    reply_to: str | None = None

    @property
    def status(self) -> str:
        """`ok` or `error`."""
        return "error" if self.error else "ok"


def is_notification(envelope: Envelope) -> bool:
    """Whether a bucket sent it."""
    attributes = envelope.attributes
    return "eventType" in attributes and "bucketId" in attributes and "objectId" in attributes


def ignorable(envelope: Envelope) -> str | None:
    """Why a bucket notification asks for no prediction, or None: only finished objects with bytes in them do."""
    if not is_notification(envelope):
        return None
    attributes = envelope.attributes
    if attributes["eventType"] != _FINALIZE:
        return f"event {attributes['eventType']}"
    if attributes["objectId"].endswith("/"):
        return "folder marker"
    if str(_resource(envelope).get("size")) == "0":
        return "empty object"
    return None


def request_id_of(envelope: Envelope) -> str:
    """The id that the response will carry, also when the request cannot be read: never empty, never over ID_LIMIT."""
    if is_notification(envelope):
        attributes = envelope.attributes
        given = f"{attributes['bucketId']}/{attributes['objectId']}#{attributes.get('objectGeneration', '0')}"
    else:
        given = envelope.attributes.get("request_id") or envelope.id
    encoded = given.encode()
    return given if len(encoded) <= ID_LIMIT else hashlib.sha256(encoded).hexdigest()


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


def decode_request(envelope: Envelope) -> Request:
    """Read a request, or raise InvalidRequest naming the field, its value and what is allowed."""
    notified = is_notification(envelope)
    options = _options(envelope)
    for name in ("reply_to",) if notified else ("request_id", "reply_to"):
        if (size := len(options.get(name, "").encode())) > ID_LIMIT:
            raise InvalidRequest(f"{name} is {size} bytes; at most {ID_LIMIT} are allowed")
    return Request(
        request_id_of(envelope),
        _notified(envelope) if notified else _image(envelope),
        _top_k(options.get("top_k")),
        options.get("model") or None,
        _time(options.get("expires_at")),
    )


def parse_uri(uri: object) -> ObjectRef:
    """Read `gs://bucket/object` or `gs://bucket/object#generation`, or raise InvalidRequest.

    Object names may hold `#`: only digits after the last one are a generation.
    """
    if isinstance(uri, str) and uri.startswith("gs://"):
        bucket, _, name = uri.removeprefix("gs://").partition("/")
        stem, mark, generation = name.rpartition("#")
        if mark and generation.isascii() and generation.isdigit():
            name, number = stem, int(generation)
        else:
            number = None
        if _BUCKET.fullmatch(bucket) and 0 < len(name.encode()) <= 1024:
            return ObjectRef(bucket, name, number)
    raise InvalidRequest(
        f"image_uri is {_quote(uri)}; it must look like gs://bucket/object or gs://bucket/object#generation"
    )


def encode_response(response: Response) -> bytes:
    """The response's JSON, as infra/schemas/response.json describes it."""
    model, source, timing = response.model, response.source, response.timing_ms
    body: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "request_id": response.request_id,
        "status": response.status,
        "predictions": [{"label": p.label, "score": p.score} for p in response.predictions],
        "model": {"name": model.name, "version": model.version, "digest": model.digest, "engine": model.engine}
        if model
        else None,
        "source": {"filename": source.filename, "image_uri": source.image_uri},
        "error": {"code": response.error.code, "message": response.error.message} if response.error else None,
        "timing_ms": {
            "queue": timing.queue,
            "fetch": timing.fetch,
            "decode": timing.decode,
            "predict": timing.predict,
            "total": timing.total,
        },
        "delivery_attempt": response.delivery_attempt,
        "completed_at": response.completed_at,
    }
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def response_attributes(response: Response) -> dict[str, str]:
    """The attributes that travel beside the body, so that subscriptions can filter."""
    attributes = {"request_id": response.request_id, "status": response.status}
    if response.reply_to:
        attributes["reply_to"] = response.reply_to
    if response.model:
        attributes["model"] = response.model.name
    return attributes


def decode_response(data: bytes, attributes: Mapping[str, str] | None = None) -> Response:
    """Read what `encode_response` wrote; ValueError when it is no response."""
    try:
        body = json.loads(data)
        model, error = body["model"], body["error"]
        return Response(
            body["request_id"],
            tuple(Prediction(p["label"], p["score"]) for p in body["predictions"]),
            Error(error["code"], error["message"]) if error else None,
            Model(model["name"], model["version"], model["digest"], model["engine"]) if model else None,
            Source(body["source"]["filename"], body["source"]["image_uri"]),
            Timing(**body["timing_ms"]),
            body["delivery_attempt"],
            body["completed_at"],
            (attributes or {}).get("reply_to"),
        )
    except (KeyError, TypeError, UnicodeDecodeError) as exc:
        raise ValueError(f"not a response: {data[:80]!r}") from exc


def encode_time(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds: 2026-11-21T09:30:00.125Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def encode_reference(ref: ObjectRef) -> bytes:
    """The body of a request that carries a reference instead of bytes."""
    return json.dumps({"image_uri": ref.uri}, ensure_ascii=False).encode()


def _options(envelope: Envelope) -> Mapping[str, str]:
    """Where the optional attributes are: on the message, or for an upload in the object's own metadata."""
    if not is_notification(envelope):
        return envelope.attributes
    metadata = _resource(envelope).get("metadata")
    if not isinstance(metadata, dict):
        return {}
    return {str(key): str(value) for key, value in metadata.items()}


def _resource(envelope: Envelope) -> dict[str, Any]:
    """The object resource that a JSON_API_V1 notification carries; empty when it carries none."""
    try:
        resource = json.loads(envelope.payload)
    except ValueError:
        return {}
    return resource if isinstance(resource, dict) else {}


def _notified(envelope: Envelope) -> ObjectRef:
    attributes = envelope.attributes
    generation, size = attributes.get("objectGeneration", ""), str(_resource(envelope).get("size", ""))
    return ObjectRef(
        attributes["bucketId"],
        attributes["objectId"],
        int(generation) if generation.isdecimal() else None,
        int(size) if size.isdecimal() else None,
    )


def _image(envelope: Envelope) -> bytes | ObjectRef:
    payload = envelope.payload
    if not payload:
        raise InvalidRequest(
            'the message is empty; its data must be an image file or {"image_uri": "gs://bucket/object"}'
        )
    if payload[:1] != b"{":
        return payload
    try:
        body = json.loads(payload)
    except ValueError:
        return payload
    if not isinstance(body, dict) or "image_uri" not in body:
        raise InvalidRequest(
            'the message is JSON without image_uri; it must look like {"image_uri": "gs://bucket/object"}'
        )
    return parse_uri(body["image_uri"])


def _top_k(value: str | None) -> int:
    if value is None:
        return DEFAULT_TOP_K
    if value.isascii() and value.isdigit() and len(value) < 9 and 1 <= int(value) <= TOP_K_LIMIT:
        return int(value)
    raise InvalidRequest(f"top_k is {_quote(value)}; it must be a whole number from 1 to {TOP_K_LIMIT}")


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
            f"expires_at is {_quote(value)}; it must be a time with its zone, such as 2026-11-21T09:30:00Z (RFC 3339)"
        ) from None


def _quote(value: object) -> str:
    """A sender's value, short enough to say back."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return repr(text if len(text) <= 80 else text[:77] + "...")
