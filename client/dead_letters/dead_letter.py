"""A dead letter: what the broker holds, and how it is published as a request again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from functions.messages.contract import Decoded, Envelope, Ignored, Rejected, Request, decode_response, encode_time
from functions.messages.image_lines import decode_lines, has_lines
from functions.messages.request_decoder import decode
from model.text import quoted

REDRIVEN = "redriven"
"""The message attribute that counts how often a request was redriven."""

MAX_REDRIVES = 3
"""Redrives of one request. A request that fails this often needs a person, and must not circle."""

_SOURCE = "CloudPubSubDeadLetterSource"
"""The start of the names of the attributes that Pub/Sub adds to a dead letter ("Handle message failures")."""

_REASON = "dead_letter_reason"
_OF_KAFKA = {f"dead_letter_{name}" for name in ("reason", "attempts", "topic", "partition", "offset")}
"""The headers that the worker adds to a dead letter on Kafka, next to those of _SOURCE."""

NO_DEAD_LETTER = "no dead letter: it lacks the attributes that Pub/Sub, or on Kafka the worker, adds to one"

_TRAINING = "req_train-sub"
"""The subscription of training requests, after the prefix of a deployment. Their dead letters are no image requests."""

_SENT = f"{_SOURCE}TopicPublishTime"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message with a dead letter. `died_at` is when it was moved there; `request` is decoded.

    Of a message with several `images`, it is the first request that is not rejected.
    """

    message_id: str
    attributes: Mapping[str, str]
    data: bytes
    ordering_key: str
    died_at: datetime
    request: Decoded
    images: int = 1

    @classmethod
    def read(cls, message: Any) -> DeadLetter:
        """Read a PubsubMessage of Google's client, or what has its fields. What is no request has a Rejected."""
        died_at = message.publish_time.astimezone(UTC)
        envelope = Envelope(message.message_id, message.data, dict(message.attributes), died_at)
        several = decode_lines(envelope) if has_lines(envelope.attributes) else decode(envelope)
        requests = several if isinstance(several, list) else [several]
        return cls(
            message.message_id,
            envelope.attributes,
            message.data,
            message.ordering_key,
            died_at,
            next((each for each in requests if isinstance(each, Request)), requests[0]),
            len(requests),
        )

    @property
    def redrives(self) -> int | None:
        """How often the request was redriven, or None when the attribute is no such number."""
        text = self.attributes.get(REDRIVEN, "0")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else None

    def request_attributes(self) -> dict[str, str]:
        """Return the attributes with which the request is published again.

        Those of a dead letter are left out. A request without an id of its own was announced under the id of this
        message, so this id becomes its request_id: the new response then replaces the announced one.
        """
        added = {name for name in self.attributes if name.startswith(_SOURCE) or name in _OF_KAFKA}
        own = {name: text for name, text in self.attributes.items() if name not in added}
        if self.request.request_id == self.message_id:
            own["request_id"] = self.message_id
        return own | {REDRIVEN: str((self.redrives or 0) + 1)}

    def obstacle(self, now: datetime, *, keep_expired: bool = False) -> str:
        """Return why this message must not be redriven, or "".

        `keep_expired` allows expired requests.
        """
        if problem := self.foreign():
            return problem
        if self.redrives is None:
            return f"its attribute {REDRIVEN} is {quoted(self.attributes[REDRIVEN])}; it must be a whole number"
        if self.redrives >= MAX_REDRIVES:
            return f"redriven {self.redrives} times already, the limit is {MAX_REDRIVES}"
        if (expires_at := self.expires_at) and expires_at <= now and not keep_expired:
            return f"expired at {encode_time(expires_at)}"
        return ""

    @property
    def is_dead(self) -> bool:
        """Whether this message was moved here: each dead letter has attributes that say so."""
        return any(name.startswith(_SOURCE) for name in self.attributes)

    def foreign(self) -> str:
        """Return why this message is no dead letter of a request, or ""."""
        if not self.is_dead:
            return NO_DEAD_LETTER
        if self.attributes.get(f"{_SOURCE}Subscription", "").endswith(_TRAINING):
            return "a training request: send it again with predictions request"
        if isinstance(self.request, Rejected) and _is_response(self.data):
            return "a response, not a request"
        return ""

    @property
    def expires_at(self) -> datetime | None:
        return self.request.options.expires_at if isinstance(self.request, Request) else None

    @property
    def certain_reason(self) -> str:
        """The reason that the message itself shows, whatever was announced, or ""."""
        if problem := self.foreign():
            return problem
        return self.attributes.get(_REASON) or (
            f"invalid: {self.request.reason}" if isinstance(self.request, Rejected) else ""
        )

    @property
    def sent_at(self) -> str:
        """When the sender published the request, as Pub/Sub states it; "" when it does not."""
        return self.attributes.get(_SENT, "")

    @property
    def payload(self) -> str:
        """What the message carries, in words."""
        request, size = self.request, f"{len(self.data):,} bytes"
        if self.images > 1:
            return f"{size}, {self.images} images, one of them {quoted(request.request_id)}"
        if isinstance(request, Rejected | Ignored):
            return f"{size}, not a request: {request.reason}"
        if request.event:
            return f"{size}, a notification of {request.source.image_uri}"
        if request.source.image_uri:
            return f"{size}, a reference to {request.source.image_uri}"
        kind = self.attributes.get("content_type")
        return f"{size}, an image file" + (f" (sent as {kind})" if kind else "")


def _is_response(data: bytes) -> bool:
    try:
        decode_response(data)
    except ValueError:
        return False
    return True
