"""A message of Kafka and its envelope: the key is the request_id, headers are attributes, the value is the payload.

Headers that begin with `kafka_` are the delay topic's (retries.py), and no attributes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from functions.errors import InvalidRequest
from functions.kafka.connection import MAX_VALUE_BYTES
from functions.messages.contract import OPTIONS, Envelope
from functions.messages.trace_context import HEADER
from model.text import quoted

OWN = "kafka_"
"""The start of the names of headers that are no attributes."""

ATTEMPTS = f"{OWN}attempts"
"""The header of a message on the delay topic that counts the deliveries so far."""

NOT_BEFORE = f"{OWN}not_before"
"""The header of a message on the delay topic with the time of its next delivery: Unix time in milliseconds."""

_NAMING = ("request_id", *OPTIONS, HEADER)
"""The attributes that a rejected message keeps: those that its response and its log line need."""


class NoRequestId(InvalidRequest):
    """A message has neither a key nor a header request_id, so that no response can name it."""


def headers_of(attributes: Mapping[str, str]) -> list[tuple[str, bytes]]:
    """The headers of a message with these attributes."""
    return [(name, text.encode()) for name, text in attributes.items()]


def envelope_of(message: Any) -> Envelope:
    """The envelope of a confluent_kafka.Message. Raises InvalidRequest, or NoRequestId where there is no id.

    Its id is the key, or the header request_id of a message without a key.
    """
    found, problem = read(message)
    if problem:
        raise InvalidRequest(problem)
    return found


def request_envelope(message: Any) -> Envelope:
    """As `envelope_of`, with what is wrong as the envelope's `problem`. Raises NoRequestId."""
    found, problem = read(message)
    if not problem:
        return found
    kept = {name: found.attributes[name] for name in _NAMING if name in found.attributes}
    return Envelope(found.id, b"", kept, found.published_at, found.delivery_attempt, problem)


def read(message: Any) -> tuple[Envelope, str]:
    """The envelope, as far as it is readable, and what violates the contract, or "". Raises NoRequestId."""
    problems = list[str]()
    attributes = dict[str, str]()
    attempts = 0
    for name, value in _headers(message, problems):
        try:
            text = (value or b"").decode()
        except UnicodeDecodeError:
            problems.append(f"the header {quoted(name)} is not UTF-8")
            continue
        if name == ATTEMPTS:
            attempts = whole_number(value)
        elif name in attributes:
            problems.append(f"the header {quoted(name)} is stated twice; it must be stated once")
        elif not name.startswith(OWN):
            attributes[name] = text
    try:
        request_id = (message.key() or b"").decode()
    except UnicodeDecodeError:
        request_id = ""
        problems.append("the key is not UTF-8; it must be the request_id")
    request_id = request_id or attributes.get("request_id", "")
    if not request_id:
        raise NoRequestId(next(iter(problems), "the message has no key; it must be the request_id"))
    payload = message.value() or b""
    if len(payload) > MAX_VALUE_BYTES:
        problems.append(f"the message has {len(payload):,} bytes; at most {MAX_VALUE_BYTES:,} are read")
    kind, milliseconds = message.timestamp()
    published_at = datetime.fromtimestamp(milliseconds / 1000, UTC) if kind else None
    attempt = attempts + (message.delivery_count() or 1)
    return Envelope(request_id, payload, attributes, published_at, attempt), next(iter(problems), "")


def _headers(message: Any, problems: list[str]) -> list[tuple[str, bytes | None]]:
    try:
        return message.headers() or []
    except UnicodeDecodeError:
        problems.append("the name of a header is not UTF-8")
        return []


def raw_headers(message: Any) -> list[tuple[str, bytes | None]]:
    """The headers of a message in their order; none where the name of one is not UTF-8."""
    return _headers(message, [])


def whole_number(text: bytes | None) -> int:
    """A whole number of up to 15 digits; 0 for every other text."""
    return int(text) if text and text.isdigit() and len(text) <= 15 else 0
