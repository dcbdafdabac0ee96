"""A message on its way to one subscription: held, leased to a consumer, or forwarded to the dead letters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol


class Consumer(Protocol):
    """Someone who takes messages: a stream, a waiting pull, a pusher. Both methods are called on the loop."""

    pushes: bool

    def wake(self) -> None:
        """There may be something to take, or the backlog was closed. Must not take at once; later, on the loop."""

    def settled(self, size: int) -> None:
        """A message that it took, of `size` bytes, is no longer its own: acked, nacked or expired."""


@dataclass(slots=True, eq=False)
class Held:
    """One message on its way to one subscription. `size`: its bytes on the wire; `born`: seconds since the epoch."""

    message: Any
    size: int
    born: float
    attempts: int = 0


@dataclass(slots=True, eq=False)
class Lease:
    """A message that a consumer has until `deadline` (seconds on the loop's clock)."""

    ack_id: str
    held: Held
    deadline: float
    consumer: Consumer


Forward = Callable[[Held], bool]
"""Sends a message to the dead-letter topic; False when that topic is gone."""
