"""What the client reads of a message of Kafka, whatever its sender wrote."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from functions.kafka.message_headers import OWN, raw_headers


def attributes_of(message: Any) -> dict[str, str]:
    """Return the headers of a confluent_kafka.Message as attributes. What is not UTF-8 has replacement characters.

    Without a request_id in a header, that is the key. The headers of the worker's delay topic are left out.
    """
    headers = [(name, value or b"") for name, value in raw_headers(message) if not name.startswith(OWN)]
    found = {name: value.decode(errors="replace") for name, value in headers}
    key = (message.key() or b"").decode(errors="replace")
    return found if found.get("request_id") or not key else found | {"request_id": key}


def published_at(message: Any) -> datetime:
    """Return when a message was published; the beginning of 1970 where that is unknown."""
    kind, milliseconds = message.timestamp()
    return datetime.fromtimestamp(milliseconds / 1000 if kind else 0, UTC)
