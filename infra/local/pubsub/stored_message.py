"""A published message as the server keeps it: serialised, because a million of them must fit into memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infra.local.pubsub.wire import PubsubMessage

# Bytes that a response adds to a message: the ack id, the attempt, lengths.
_OVERHEAD = 64


@dataclass(slots=True, eq=False)
class StoredMessage:
    """The serialised PubsubMessage `body`, with its message_id as a number and its publish time (epoch ns).

    All subscriptions and logs share one.
    """

    number: int
    body: bytes
    published_ns: int
    ordering_key: str = ""

    @property
    def size(self) -> int:
        """Bytes of the message in a response."""
        return len(self.body) + _OVERHEAD

    def parse(self) -> Any:
        """The PubsubMessage."""
        return PubsubMessage.FromString(self.body)


def read_stored(number: int, body: bytes) -> StoredMessage:
    """The stored message of a serialised PubsubMessage and its message_id."""
    message = PubsubMessage.FromString(body)
    time = message.publish_time
    return StoredMessage(number, body, time.seconds * 10**9 + time.nanos, message.ordering_key)
