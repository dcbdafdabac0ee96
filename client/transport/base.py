"""What all transports share: their Protocols, the options of a request, and `send_all`, which drives any of them."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from client.images import Image
from client.results.request_tracker import Outcome, RequestTracker
from client.text import SendError
from client.transport import send_pool
from functions.messages.contract import encode_time


@dataclass(frozen=True, slots=True)
class Sent:
    """What identifies a request that has left this machine: its id, and its trace in the pipeline's logs."""

    request_id: str
    trace_id: str


EACH = "each"
"""Each image of a message is answered by a message of its own."""


class Transport(Protocol):
    """A way to send images. The request tracker that it was created with gets the outcome of every image."""

    @property
    def threads(self) -> int:
        """The number of threads that may call `send` at the same time."""
        ...

    def send(self, image: Image) -> Sent:
        """Send one image; returns when it has left this machine. Raises the error that prevented it."""
        ...


class Publisher(Protocol):
    """Publishes on one topic. Callable from any thread."""

    def publish(self, data: bytes, attributes: Mapping[str, str], ordering_key: str = "") -> Future[str]:
        """Publish a message; the future ends when the broker has it, or with the error. May raise that at once.

        Messages with the same ordering key are published in the order of the calls.
        """
        ...

    def failed(self, exc: BaseException, ordering_key: str = "") -> SendError:
        """Return the error of a message that was not published, and let the next ones of its ordering key follow."""
        ...

    def close(self) -> None:
        """Close the connection. Call it only when nothing is being published."""
        ...


@dataclass(frozen=True, slots=True)
class SendOptions:
    """The optional attributes of a request, the same for every image of a command."""

    top_k: int | None = None
    model: str | None = None
    expires_in_s: float | None = None
    explain: bool = False
    features: bool = False
    gather: int | str = 1
    """Images in a message: a number from 1 to 256, or `auto`."""
    responses: str = EACH
    """How the images of one message are answered: EACH or TOGETHER."""

    def attributes(self) -> Mapping[str, str]:
        """Return the options as message attributes. `expires_at` counts from now."""
        given: dict[str, str] = {}
        if self.top_k is not None:
            given["top_k"] = str(self.top_k)
        if self.model:
            given["model"] = self.model
        if self.expires_in_s is not None:
            given["expires_at"] = encode_time(datetime.now(UTC) + timedelta(seconds=self.expires_in_s))
        if self.explain:
            given["explain"] = "true"
        if self.features:
            given["features"] = "true"
        return given


def send_all(
    transport: Transport, images: Iterable[Image], tracker: RequestTracker, timeout_s: float
) -> Iterator[Outcome]:
    """Send all images and yield each outcome as it arrives.

    Ends when every image has its outcome, or nothing was sent or answered for `timeout_s` seconds.
    """

    def send(image: Image) -> None:
        transport.send(image)
        tracker.sent(image)

    send_pool.start(images, send, tracker, transport.threads)
    yield from tracker.outcomes(timeout_s)


def content_type(image: Image) -> str | None:
    """Return the media type that the file's name suggests."""
    return mimetypes.guess_type(image.filename)[0]


def cut(text: str, size: int) -> str:
    """Return the first `size` bytes of a text in UTF-8, without a partial character."""
    return text.encode("utf-8", "replace")[:size].decode("utf-8", "ignore")
