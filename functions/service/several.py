"""The delivery of a message with several images: it is settled once, when all of its images are settled."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from functions.messages.contract import Decoded, Envelope, Response
from functions.service.ports import ResponsePublisher


class ListPublisher:
    """Publishes the responses to one message as lists, once there is a response to each of its images that has one.

    `waited`: a thread waits for the message. Callable from any thread.
    """

    def __init__(
        self, publisher: ResponsePublisher, requests: Sequence[Decoded], attributes: Mapping[str, str], waited: bool
    ) -> None:
        self._publisher, self._attributes, self._waited = publisher, attributes, waited
        self._lock = threading.Lock()
        self._responses: dict[str, Response | None] = {request.request_id: None for request in requests}
        self._missing = len(requests)
        self._published: Future[str] = Future()

    def publish(self, response: Response, *, waited: bool = False) -> Future[str]:
        """Return at once; the future ends when the broker has the lists, or fails."""
        self._responses[response.request_id] = response
        self._count()
        return self._published

    def skip(self) -> None:
        """An image has no response now. Without effect once the lists are published."""
        self._count()

    def _count(self) -> None:
        with self._lock:
            self._missing -= 1
            if self._missing:
                return
        responses = [response for response in self._responses.values() if response]
        if not responses:
            return
        try:
            published = self._publisher.publish_list(responses, self._attributes, waited=self._waited)
        except Exception as exc:
            self._published.set_exception(exc)
        else:
            published.add_done_callback(self._pass_on)

    def _pass_on(self, published: Future[str]) -> None:
        if failure := published.exception():
            self._published.set_exception(failure)
        else:
            self._published.set_result(published.result())


class SharedDelivery:
    """One delivery of a message with `count` images. Callable from any thread.

    `settled` ends when each image is acked or nacked, with the published responses in the order of the images; None for
    an image that was nacked.
    """

    def __init__(self, envelope: Envelope, count: int, lists: ListPublisher | None = None) -> None:
        self.settled: Future[Sequence[Response | None]] = Future()
        self.envelope, self._lists = envelope, lists
        self._lock = threading.Lock()
        self._responses: list[Response | None] = [None] * count
        self._open = count

    def settle(self, index: int, response: Response | None) -> None:
        """Settle an image, once."""
        if response is None and self._lists:
            self._lists.skip()
        with self._lock:
            self._responses[index] = response
            self._open -= 1
            if self._open:
                return
        self.settled.set_result(self._responses)


@dataclass(frozen=True, slots=True)
class ImageDelivery:
    """The delivery of one image of a message."""

    shared: SharedDelivery
    index: int
    is_awaited: bool = False

    @property
    def envelope(self) -> Envelope:
        return self.shared.envelope

    def ack(self, response: Response | None, /) -> None:
        """Count the image as answered."""
        self.shared.settle(self.index, response)

    def nack(self) -> None:
        """Have the whole message delivered again. The other images then get the same responses."""
        self.shared.settle(self.index, None)
