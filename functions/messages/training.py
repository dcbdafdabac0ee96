"""Requests to train or evaluate a model, on the topic req_train, and their answers on the response topic.

An answer has the fields of a response, without predictions, and `training`. Its attribute `kind` tells it from one.
Standard library only, so that clients may import it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from functions.errors import InvalidRequest
from functions.messages.contract import (
    ID_LIMIT,
    KIND,
    RESPONSE_LIMIT,
    Envelope,
    Response,
    bounded_id,
    decode_response,
    encode_response,
    response_attributes,
)
from functions.messages.json_fields import field_of, number
from functions.messages.request_decoder import check_length, distinct
from model.text import quoted, whole

TRAIN, EVALUATE = "train", "evaluate"
KINDS = (TRAIN, EVALUATE)

MAX_BYTES = 100_000
"""Maximum bytes of a training request."""

CONFIG: dict[str, tuple[type, ...]] = {
    "backbone": (str,),
    "framing": (str,),
    "quick": (bool,),
    **dict.fromkeys(
        ("batch_size", "epochs", "fine_tune_epochs", "fine_tune_layers", "seed", "size"),
        (int,),
    ),
    **dict.fromkeys(
        ("alpha", "dropout", "fine_tune_rate", "label_smoothing", "rate", "validation_share"),
        (float, int),
    ),
}
"""The options that a request may set, and their JSON types. model/training/transfer/config.py has the allowed values.

`quick`: measure each speed once. Paths, such as that of weights, are not among them: a sender must not choose files.
"""

_FIELDS = ("kind", "request_id", "reply_to", "model", "data", "base", "config")
_STABLE = "stable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressed:
    """What the answer to a request repeats. `kind` is TRAIN where the request does not say it."""

    request_id: str
    kind: str = TRAIN
    reply_to: str | None = None
    published_at: datetime | None = None
    delivery_attempt: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRequest(Addressed):
    """A request for a version of `model`, trained on the images below `data`, or for the evaluation of one.

    `model`: a name to train; `NAME`, `NAME@ALIAS` or `NAME@VERSION` to evaluate. `base`: the alias whose version the
    new one is compared with. `config`: options of CONFIG.
    """

    model: str
    data: str
    base: str = _STABLE
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """12 hex digits that identify the request: a redelivery has the same, another content has others."""
        body = [self.request_id, self.kind, self.model, self.data, self.base, dict(self.config)]
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedTraining(Addressed):
    """A message that is no training request. `reason` names the field, its value and the allowed values."""

    reason: str


@dataclass(frozen=True, slots=True)
class Scores:
    """The metrics of a version, 0..1: accuracy, mean F1 of the labels, and expected calibration error."""

    accuracy: float
    macro_f1: float
    calibration_error: float


@dataclass(frozen=True, slots=True)
class Training:
    """The result of a training request. `images`: how many images both versions were scored on.

    `base` and `base_version`: the alias and the version that the new one is compared with; None without one.
    `candidate`: whether the alias `candidate` names the new version. `message`: what was decided, in a sentence.
    """

    images: int
    scores: Scores
    candidate: bool = False
    message: str = ""
    base: str | None = None
    base_version: str | None = None
    base_scores: Scores | None = None


@dataclass(frozen=True, slots=True)
class TrainingAnswer:
    """The answer to one training request: `response` has the id, the model and the error; `training` the result."""

    kind: str
    response: Response
    training: Training | None = None


def decode_training(envelope: Envelope) -> TrainingRequest | RejectedTraining:
    """Decode a message of req_train. Never raises: a message that violates the contract becomes a RejectedTraining."""
    attributes = envelope.attributes
    reply_to = attributes.get("reply_to") or None
    common: dict[str, Any] = {
        "request_id": bounded_id(attributes.get("request_id") or envelope.id),
        "reply_to": reply_to if reply_to and len(reply_to.encode()) <= ID_LIMIT else None,
        "published_at": envelope.published_at,
        "delivery_attempt": envelope.delivery_attempt,
    }
    try:
        body = _body(envelope.payload)
        for name in ("request_id", "reply_to"):
            common[name] = _addressed(name, body, attributes) or common[name]
        if (kind := body.get("kind")) not in KINDS:
            raise InvalidRequest(f"kind is {quoted(kind)}; it must be {' or '.join(KINDS)}")
        common["kind"] = kind
        return TrainingRequest(
            model=_text(body, "model"),
            data=_text(body, "data").rstrip("/"),
            base=_text({"base": _STABLE} | body, "base"),
            config=_config(kind, body.get("config", {})),
            **common,
        )
    except InvalidRequest as exc:
        return RejectedTraining(reason=str(exc), **common)


def encode_training(request: TrainingRequest) -> bytes:
    """Return the request's JSON. infra/schemas/training_request.json describes it."""
    body: dict[str, Any] = {"kind": request.kind, "request_id": request.request_id, "model": request.model}
    body |= {"data": request.data} | ({"reply_to": request.reply_to} if request.reply_to else {})
    if request.kind == TRAIN:
        body |= {"base": request.base, "config": dict(request.config)}
    return json.dumps(body, ensure_ascii=False).encode()


def encode_answer(answer: TrainingAnswer) -> bytes:
    """Return the answer's JSON: that of a response, and `training`. infra/schemas/response.json describes it."""
    return json.dumps(json.loads(encode_response(answer.response)) | {"training": _flat(answer.training)}).encode()


def answer_attributes(answer: TrainingAnswer) -> dict[str, str]:
    """Return the message attributes of an answer. Subscriptions filter by them."""
    return response_attributes(answer.response) | {KIND: answer.kind}


def decode_answer(data: bytes, attributes: Mapping[str, str]) -> TrainingAnswer:
    """Decode the JSON of `encode_answer`, or an announced dead letter. Raises only ValueError."""
    response = decode_response(data, attributes)
    found = json.loads(data[:RESPONSE_LIMIT]).get("training")
    return TrainingAnswer(attributes.get(KIND, ""), response, None if found is None else _nested(found))


def _flat(training: Training | None) -> dict[str, Any] | None:
    """The fields in one level, because they are columns of a table."""
    if training is None:
        return None
    base = asdict(training.base_scores) if training.base_scores else dict.fromkeys(Scores.__slots__)
    return {
        "images": training.images,
        **asdict(training.scores),
        "candidate": training.candidate,
        "message": training.message,
        "base": training.base,
        "base_version": training.base_version,
        **{f"base_{name}": value for name, value in base.items()},
    }


def _nested(found: object) -> Training:
    base = field_of(found, "base_accuracy", float, int, type(None))
    return Training(
        field_of(found, "images", int),
        Scores(*(number(found, name) for name in Scores.__slots__)),
        field_of(found, "candidate", bool),
        field_of(found, "message", str),
        field_of(found, "base", str, type(None)),
        field_of(found, "base_version", str, type(None)),
        None if base is None else Scores(*(number(found, f"base_{name}") for name in Scores.__slots__)),
    )


def _body(payload: bytes) -> dict[str, Any]:
    if len(payload) > MAX_BYTES:
        raise InvalidRequest(f"the message has {len(payload):,} bytes; at most {MAX_BYTES:,} are allowed")
    try:
        body = json.loads(payload, object_pairs_hook=distinct)
    except InvalidRequest:
        raise
    except (ValueError, RecursionError):
        raise InvalidRequest(
            f"the message is {quoted(payload[:80].decode(errors='replace'))}; it must be a JSON object with kind"
        ) from None
    if not isinstance(body, dict):
        raise InvalidRequest(f"the message is {quoted(body)}; it must be a JSON object with kind")
    for name in body:
        if name not in _FIELDS:
            raise InvalidRequest(f"the request has the field {quoted(name)}; allowed are {', '.join(_FIELDS)}")
    return body


def _addressed(name: str, body: dict[str, Any], attributes: Mapping[str, str]) -> str:
    """A field that may be an attribute too. Both must say the same."""
    value = _text(body, name) if name in body else attributes.get(name, "")
    check_length(name, value)
    if (other := attributes.get(name, value)) != value:
        raise InvalidRequest(f"{name} is {quoted(value)} in the request and {quoted(other)} in its attributes")
    return value


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    value = whole(value) if isinstance(value, str) else value
    if not isinstance(value, str) or not value or len(value.encode()) > 1024:
        raise InvalidRequest(f"{name} is {quoted(value)}; it must be text of 1 to 1024 bytes")
    return value


def _config(kind: str, config: object) -> dict[str, Any]:
    if not isinstance(config, dict):
        raise InvalidRequest(f"config is {quoted(config)}; it must be an object")
    if kind == EVALUATE and config:
        raise InvalidRequest(f"config has {quoted(next(iter(config)))}; it must be empty to evaluate")
    for name, value in config.items():
        if name not in CONFIG:
            raise InvalidRequest(f"config has the option {quoted(name)}; allowed are {', '.join(sorted(CONFIG))}")
        try:
            field_of(config, name, *CONFIG[name])
        except ValueError as exc:
            raise InvalidRequest(f"config: {exc} (it is {quoted(value)})") from None
    if kind == TRAIN and "backbone" not in config:
        raise InvalidRequest("config has no backbone; `predictions model catalog` lists those that can be trained")
    return config


def version_of(request: TrainingRequest) -> str:
    """The version of the request's model: the minute of the request, in UTC, and its key, so that versions sort.

    Later attempts have versions of their own, because an attempt that was killed may have begun to push its version.
    """
    attempt = f".{request.delivery_attempt}" if request.delivery_attempt > 1 else ""
    return f"{request.published_at or datetime.now(UTC):%Y.%m.%d.%H%M}{attempt}-{request.key}"
