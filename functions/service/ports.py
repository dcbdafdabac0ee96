"""The interfaces to a bucket, a topic, a response store and a delivery. gcp/ and entrypoints/ implement them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Protocol

from functions.messages.contract import Envelope, ObjectRef, Response


class ObjectStore(Protocol):
    """The objects that requests refer to. Callable from any thread."""

    def fetch(self, ref: ObjectRef, max_bytes: int) -> AbstractContextManager[bytes]:
        """The object's bytes, whose memory is reserved until the block ends; blocks.

        Raises InvalidRequest, ImageNotFound, InvalidImage, ImageTooLarge before the download, and TimeoutError when
        there is no memory for long. Every other exception is transient.
        """
        ...


class SinglePublisher(Protocol):
    """Publishes the response to one image. Callable from any thread."""

    def publish(self, response: Response, *, waited: bool = False) -> Future[str]:
        """Return at once; the future ends when the broker has the response, or fails.

        `waited`: a thread does nothing else until then, so the response is sent without waiting for others.
        """
        ...


class ResponsePublisher(SinglePublisher, Protocol):
    """Publishes responses, alone and as lists. Callable from any thread."""

    def publish_list(
        self, responses: Sequence[Response], attributes: Mapping[str, str], *, waited: bool = False
    ) -> Future[str]:
        """Publish responses as lists; return at once. The future ends when the broker has all of them, or fails.

        `waited`: as in `publish`.
        """
        ...


class ResponseStore(Protocol):
    """Holds the first response to each request, for all workers. Callable from any thread."""

    def keep(self, identity: str, response: Response) -> Response:
        """Store a response unless there is one, and return the stored one; blocks."""
        ...


class Delivery(Protocol):
    """One delivery of a message, to be acked or nacked once."""

    @property
    def envelope(self) -> Envelope: ...

    @property
    def is_awaited(self) -> bool:
        """Whether a thread waits for the ack: an HTTP request that ends with it."""
        ...

    def ack(self, response: Response | None, /) -> None:
        """Ack the message. The broker has its `response`, or the message requested none (None)."""
        ...

    def nack(self) -> None:
        """Nack the message: the broker delivers it again."""
        ...
