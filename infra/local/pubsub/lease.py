"""Types of a message's delivery to one subscription: pending, leased to a consumer, or forwarded as a dead letter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from infra.local.pubsub.stored_message import StoredMessage


class Consumer(Protocol):
    """Takes messages: a stream, a waiting pull, or a pusher. Both methods are called on the event loop."""

    pushes: bool

    def wake(self) -> None:
        """Messages may be available, or the backlog was closed. Must take messages only in a later step of the loop."""

    def settled(self, size: int) -> None:
        """A message of `size` bytes that the consumer had is acked, nacked or expired."""


@dataclass(slots=True, eq=False)
class PendingMessage:
    """A message to deliver to one subscription, and its failed deliveries so far."""

    message: StoredMessage
    attempts: int = 0


@dataclass(slots=True, eq=False)
class Lease:
    """A message that is leased to a consumer until `deadline` (seconds on the event loop's clock)."""

    ack_id: str
    held: PendingMessage
    deadline: float
    consumer: Consumer


# Publishes a message to the dead-letter topic; False when that topic was deleted.
Forward = Callable[[PendingMessage], bool]
