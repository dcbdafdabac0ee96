"""What the client reads of a message of Kafka, whatever its sender wrote."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from functions.kafka.message_headers import OWN


def attributes_of(message: Any) -> dict[str, str]:
    """Return the headers of a confluent_kafka.Message as attributes. What is not UTF-8 has replacement characters.

    Without a header request_id, that is the key. The headers of the worker's delay topic are left out.
    """
    try:
        headers = message.headers() or []
    except UnicodeDecodeError:  # the library reads all names or none
        headers = []
    found = {name: (value or b"").decode(errors="replace") for name, value in headers if not name.startswith(OWN)}
    key = (message.key() or b"").decode(errors="replace")
    return {"request_id": key, **found} if key else found


def published_at(message: Any) -> datetime:
    """Return when a message was published; the beginning of 1970 where that is unknown."""
    kind, milliseconds = message.timestamp()
    return datetime.fromtimestamp(milliseconds / 1000 if kind else 0, UTC)
