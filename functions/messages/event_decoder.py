"""Converts the event of each entry point to an envelope. Raises InvalidRequest for a malformed event.

Formats: Pub/Sub push body ("Receive messages by push", Google Cloud); CloudEvents 1.0 HTTP binding, binary and
structured; bucket notifications ("Pub/Sub notifications for Cloud Storage").
"""

from __future__ import annotations

import binascii
import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

from functions.errors import InvalidRequest
from functions.messages.contract import Envelope
from functions.messages.trace_context import HEADER
from model.text import quoted, whole

MAX_COMMAS = 200_000
"""Maximum number of commas in the JSON of an event. A valid event has fewer, even if its hundred attributes
consist of commas. Without the limit, parsing 15 MB of empty lists would take 400 MB of memory.
"""

PUBSUB_EVENT = "google.cloud.pubsub.topic.v1.messagePublished"
STORAGE_EVENT = "google.cloud.storage.object.v1."
_STORAGE_NAMES = {"finalized": "OBJECT_FINALIZE", "deleted": "OBJECT_DELETE", "archived": "OBJECT_ARCHIVE"}


class _Headers(Protocol):
    """Header names in any case, as HTTP has them."""

    def get(self, key: str, /) -> str | None: ...


def from_pulled(received: Any) -> Envelope:
    """Convert a message of a pull subscription, a ReceivedMessage of the Pub/Sub API."""
    message = received.message
    return Envelope(
        message.message_id,
        message.data,
        dict(message.attributes),
        message.publish_time.ToDatetime(UTC),
        received.delivery_attempt,
    )


def from_http(headers: _Headers, body: bytes) -> Envelope:
    """Convert the body of an HTTP request: a Pub/Sub push body, or a CloudEvent in binary or structured mode.

    If the sender set no trace, the trace of the delivery becomes an attribute.
    """
    media_type = (headers.get("Content-Type") or "").partition(";")[0].strip().lower()  # RFC 9110, section 8.3.1
    try:
        if kind := headers.get("ce-type"):
            envelope = _from_cloud_event(kind, headers.get("ce-id") or "", _json(body))
        elif media_type == "application/cloudevents+json":
            envelope = _from_structured(_object(_json(body), "the CloudEvent"))
        else:
            envelope = _from_push(_json(body))
    except RecursionError:  # JSON that the parser accepts may be too deep for the encoder
        raise InvalidRequest("the body is nested too deeply") from None
    trace = headers.get(f"ce-{HEADER}") or headers.get(HEADER)
    return replace(envelope, attributes={HEADER: trace, **envelope.attributes}) if trace else envelope


def _from_structured(event: dict[str, Any]) -> Envelope:
    data = event.get("data")
    if data is None and "data_base64" in event:
        data = _json(_base64(event["data_base64"], "data_base64"))
    return _from_cloud_event(_text(event.get("type", "")), _text(event.get("id", "")), data)


def _from_cloud_event(kind: str, event_id: str, data: Any) -> Envelope:
    if kind == PUBSUB_EVENT:
        return _from_push(data)
    if kind.startswith(STORAGE_EVENT):
        return _from_object(kind.removeprefix(STORAGE_EVENT), event_id, _object(data, "data"))
    raise InvalidRequest(f"the event's type is {quoted(kind)}; it must be {PUBSUB_EVENT} or {STORAGE_EVENT}finalized")


def _from_object(kind: str, event_id: str, resource: dict[str, Any]) -> Envelope:
    """Convert a storage event to the attributes of a bucket notification."""
    if not resource.get("bucket") or not resource.get("name"):
        raise InvalidRequest("data lacks bucket or name; it must be an object resource")
    attributes = {
        "eventType": _STORAGE_NAMES.get(kind, kind),
        "bucketId": _text(resource["bucket"]),
        "objectId": _text(resource["name"]),
        "objectGeneration": _text(resource.get("generation", "")),
    }
    return Envelope(event_id, json.dumps(resource).encode(), attributes, _time(resource.get("updated")))


def _from_push(body: Any) -> Envelope:
    body = _object(body, "the push body")
    message = _object(body.get("message"), "message")
    attributes = _object(message.get("attributes") or {}, "message.attributes")
    attempt = body.get("deliveryAttempt", 0)
    return Envelope(
        _text(message.get("messageId") or message.get("message_id") or uuid.uuid4().hex),
        _base64(message.get("data") or "", "message.data"),
        {_text(key): _text(value) for key, value in attributes.items()},
        _time(message.get("publishTime") or message.get("publish_time")),
        attempt if isinstance(attempt, int) and attempt > 0 else 0,
    )


def _json(body: bytes) -> Any:
    if (commas := body.count(b",")) > MAX_COMMAS:
        raise InvalidRequest(f"the body has {commas:,} commas; at most {MAX_COMMAS:,} are allowed")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidRequest("the body is not JSON; it must be a Pub/Sub push body or a CloudEvent") from None


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidRequest(
            f"{name} is missing or not an object; the body must be a Pub/Sub push body or a CloudEvent"
        )
    return value


def _base64(value: Any, name: str) -> bytes:
    try:
        # base64.b64decode would copy the whole value first.
        return binascii.a2b_base64(value, strict_mode=True)
    except (ValueError, TypeError):
        raise InvalidRequest(f"{name} is not base64") from None


def _text(value: Any) -> str:
    return whole(str(value))


def _time(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else None
    except (TypeError, ValueError, OverflowError):  # OverflowError: in UTC the year would be 0 or 10000
        return None
