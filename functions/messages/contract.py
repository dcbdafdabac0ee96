"""The messages between sender, worker and client, and their JSON. Standard library only, so that clients may import it.

request_decoder.py decodes an envelope to a request.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from functions.messages.json_fields import field_of, json_of, number, texts
from functions.messages.response_fields import explanation_of, features_of, labels_of
from functions.messages.trace_context import TraceContext
from model.labels import Explanation, Prediction
from model.text import quoted

SCHEMA_VERSION = 1
DEFAULT_TOP_K = 5
TOP_K_LIMIT = 100
ID_LIMIT = 256
"""Maximum bytes of a request_id and of a reply_to. Subscriptions filter by them, and a filter has at most 256 bytes."""

MAX_LINES = 256
"""Maximum number of images in a message. With more, one message would take an instance longer than a push may last."""

RESPONSE_LIMIT = 1_000_000
"""Maximum bytes of a response that is decoded: many times a response of a hundred long labels with an explanation."""

DEAD_LETTER = "the request could not be answered and became a dead letter"
"""The message of the `unavailable` error that announces a dead letter. Where the announcing worker knows the last
failure, `: ` and the class of its exception follow."""

KIND = "kind"
"""The attribute of messages on the response topic that are not the response to one image: what they are instead."""

OPTIONS = ("filename", "reply_to", "top_k", "model", "expires_at", "explain", "features")
"""The message attributes with request options. request_id and the trace attributes are not options."""

_AS_IT_IS, _AS_ASCII = (json.JSONEncoder(ensure_ascii=ascii, separators=(",", ":")) for ascii in (False, True))


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message as each entry point delivers it: an id, string attributes, and a payload.

    `published_at` is the broker's publish time; `delivery_attempt` counts from 1 (0: the entry point does not know).
    `problem`: why the message violates the contract, where the entry point could not read all of it.
    """

    id: str
    payload: bytes = b""
    attributes: Mapping[str, str] = field(default_factory=dict)
    published_at: datetime | None = None
    delivery_attempt: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """A reference to an image in a bucket. `size` is in bytes, or None when the sender does not state it."""

    bucket: str
    name: str
    generation: int | None = None
    size: int | None = None

    @property
    def uri(self) -> str:
        """`gs://bucket/object`, followed by `#generation` if it is known."""
        generation = "" if self.generation is None else f"#{self.generation}"
        return f"gs://{self.bucket}/{self.name}{generation}"


@dataclass(frozen=True, slots=True)
class Error:
    """The error of a response: a code from functions/errors.py, and a message for the sender."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Model:
    """The model that scored the image. `digest` identifies its version permanently: `sha256:` and 64 hex digits."""

    name: str
    version: str
    digest: str
    engine: str


@dataclass(frozen=True, slots=True)
class Source:
    """The origin of the image, as the sender states it."""

    filename: str | None = None
    image_uri: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """The fields of a message that its response and its log line need.

    `reply_to` is None if the sender set none or one over ID_LIMIT. `event` is the eventType of a bucket notification.
    `dead_letter_attempts` is the number of deliveries before a message became a dead letter, 0 when it is unknown.
    """

    request_id: str
    message_id: str = ""
    source: Source = Source()
    reply_to: str | None = None
    trace: TraceContext | None = None
    published_at: datetime | None = None
    delivery_attempt: int = 0
    event: str | None = None
    dead_letter_attempts: int = 0


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """The options of a request. `model` is a name or a digest that the worker's model must match."""

    top_k: int = DEFAULT_TOP_K
    model: str | None = None
    expires_at: datetime | None = None
    explain: bool = False
    features: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Decoded):
    """A message that requests a prediction. `image` is the bytes of an image file, or a reference to an object."""

    image: bytes | ObjectRef
    options: RequestOptions = RequestOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected(Decoded):
    """A message that violates the contract. `reason` names the field, its value and the allowed values."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored(Decoded):
    """A bucket notification that requests no prediction. `reason` states why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Timing:
    """Durations in milliseconds: `queue` at the broker, `fetch` from the bucket, `decode`, `predict` (scoring, and the
    wait for it), and `total` from receipt to response.
    """

    queue: float = 0.0
    fetch: float = 0.0
    decode: float = 0.0
    predict: float = 0.0
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class Response:
    """The response to one request, with either `predictions` or `error`.

    `labels`: the labels that the image has, best first, when the model is multi-label; None for a model whose labels
    exclude each other, and with an error. `features`: little-endian float16 numbers; None unless requested.
    """

    request_id: str
    predictions: tuple[Prediction, ...] = ()
    error: Error | None = None
    model: Model | None = None
    source: Source = Source()
    timing_ms: Timing = Timing()
    delivery_attempt: int = 0
    completed_at: str = ""
    reply_to: str | None = None
    explanation: Explanation | None = None
    trace: TraceContext | None = None
    labels: tuple[str, ...] | None = None
    features: bytes | None = None

    @property
    def status(self) -> str:
        """`ok` or `error`."""
        return "error" if self.error else "ok"


def bounded_id(given: str) -> str:
    """Return the id if it fits ID_LIMIT, else its SHA-256 in hex."""
    encoded = given.encode()
    return given if len(encoded) <= ID_LIMIT else hashlib.sha256(encoded).hexdigest()


def upload_id(bucket: str, name: str, generation: int | str) -> str:
    """Return the request_id of an image that was uploaded to a bucket: `bucket/object#generation`, bounded."""
    return bounded_id(f"{bucket}/{name}#{generation}")


def encode_response(response: Response) -> bytes:
    """Return the response's JSON. infra/schemas/response.json describes it."""
    return encode_json(response_body(response))


def response_body(response: Response) -> dict[str, Any]:
    """Return the fields of the response's JSON."""
    model, source, timing, why = response.model, response.source, response.timing_ms, response.explanation
    return {
        "schema_version": SCHEMA_VERSION,
        "request_id": response.request_id,
        "status": response.status,
        "predictions": [{"label": p.label, "score": p.score} for p in response.predictions],
        "model": {"name": model.name, "version": model.version, "digest": model.digest, "engine": model.engine}
        if model
        else None,
        "source": {"filename": source.filename, "image_uri": source.image_uri},
        "error": {"code": response.error.code, "message": response.error.message} if response.error else None,
        "timing_ms": {name: getattr(timing, name) for name in Timing.__slots__},
        "delivery_attempt": response.delivery_attempt,
        "completed_at": response.completed_at,
        "explanation": {"label": why.label, "method": why.method, "png": base64.b64encode(why.png).decode()}
        if why
        else None,
        "multi_label": response.labels is not None,
        "labels": response.labels or (),
        "features": None if response.features is None else base64.b64encode(response.features).decode(),
    }


def encode_json(body: dict[str, Any]) -> bytes:
    """Return JSON of a response topic's message."""
    text = _AS_IT_IS.encode(body)
    # A file name may hold control characters that affect a terminal. Such a response is written in ASCII with escapes.
    return (text if text.isprintable() else _AS_ASCII.encode(body)).encode()


def response_attributes(response: Response) -> dict[str, str]:
    """Return the message attributes of a response. Subscriptions filter by them."""
    attributes = {"request_id": response.request_id, "status": response.status}
    if response.reply_to:
        attributes["reply_to"] = response.reply_to
    if response.model:
        attributes["model"] = response.model.name
    return attributes | (response.trace.attributes if response.trace else {})


def decode_response(data: bytes, attributes: Mapping[str, str] | None = None) -> Response:
    """Decode the JSON of `encode_response`. Raises only ValueError, which names the wrong field."""
    return response_of(json_of(data, RESPONSE_LIMIT, "a response"), attributes)


def response_of(body: Any, attributes: Mapping[str, str] | None = None) -> Response:
    """Read the JSON of one response. Raises only ValueError, which names the wrong field."""
    source, timing = field_of(body, "source", dict), field_of(body, "timing_ms", dict)
    model, error = (field_of(body, name, dict, type(None)) for name in ("model", "error"))
    # Responses of worker versions without explanations lack the field.
    why = field_of({"explanation": None} | body, "explanation", dict, type(None))
    response = Response(
        field_of(body, "request_id", str),
        tuple(Prediction(field_of(p, "label", str), number(p, "score")) for p in field_of(body, "predictions", list)),
        Error(*texts(error, "code", "message")) if error is not None else None,
        Model(*texts(model, "name", "version", "digest", "engine")) if model is not None else None,
        Source(*(field_of(source, name, str, type(None)) for name in ("filename", "image_uri"))),
        Timing(*(number(timing, name) for name in Timing.__slots__)),
        field_of(body, "delivery_attempt", int),
        field_of(body, "completed_at", str),
        (attributes or {}).get("reply_to"),
        explanation_of(why) if why is not None else None,
        TraceContext.of(attributes or {}),
        labels_of(body),
        features_of(body),
    )
    if (status := field_of(body, "status", str)) != response.status:
        raise ValueError(f"status is {quoted(status)}; with this error it must be {response.status}")
    return response


def encode_time(moment: datetime) -> str:
    """Return the time in RFC 3339, in UTC with milliseconds: 2026-11-21T09:30:00.125Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def encode_reference(ref: ObjectRef) -> bytes:
    """Return the payload of a request that holds a reference instead of the image's bytes."""
    return json.dumps({"image_uri": ref.uri}, ensure_ascii=False).encode()
