"""A message on its way from one broker to another, and the Protocols of the two ends."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Protocol, Self

from client.text import SendError

BRIDGED = "bridged"
"""The message attribute with the brokers that a message was moved from, separated by commas."""

BATCH, BATCH_BYTES = 200, 16_000_000
"""Messages, and bytes of their data, that are moved at a time: what a bridge has in memory."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message. `name` is how the source names it, and the id of a request that states none."""

    name: str
    data: bytes
    attributes: Mapping[str, str]
    ordering_key: str = ""

    @property
    def key(self) -> str:
        """The key that the message has in Kafka: its request id, as the worker finds it."""
        return self.attributes.get("request_id") or self.name

    def came_from(self, place: str) -> bool:
        """Whether the message was moved from this broker before."""
        return place in self.attributes.get(BRIDGED, "").split(",")

    def moved_from(self, place: str) -> Message:
        """Return the message as it is published, with the mark of this broker."""
        places = filter(None, (self.attributes.get(BRIDGED), place))
        return replace(self, attributes={**self.attributes, BRIDGED: ",".join(places)})


class End(Protocol):
    """An end of a bridge; a context manager. Entering it raises SendError."""

    @property
    def place(self) -> str:
        """The broker, as the mark of a moved message names it; known in the block."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Source(End, Protocol):
    """Where messages come from. Raises SendError. What is not confirmed comes again, at the latest after a restart."""

    def batch(self) -> list[Message]:
        """Return the next messages, at most BATCH and about BATCH_BYTES; none where none comes within a second."""
        ...

    def confirm(self) -> None:
        """Never deliver the messages of the last batch again."""
        ...


class Target(End, Protocol):
    """Where messages go to."""

    def publish(self, message: Message) -> Future[str]:
        """Publish a message; the future ends when the broker has it, or with the error. May raise that at once."""
        ...

    def refuses(self, exc: BaseException) -> bool:
        """Whether an error says that the broker never takes this message."""
        ...

    def failed(self, exc: BaseException, message: Message) -> SendError:
        """Return the error of a message that was not published."""
        ...
