"""The calls of one client: starts them, passes each response to the call that it belongs to, and ends them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial

from client.api.call import Call
from client.api.errors import PredictionsError
from client.api.inputs import GivenImage
from client.images import Image
from client.text import SendError, plain
from client.transport import send_pool
from client.transport.base import Transport
from functions.messages.contract import Response


class Calls:
    """Several threads may start calls. `receive` and `fail` are called from the threads that receive responses."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._calls: list[Call] = []
        self._failure = ""
        self._sending = 0
        self._reached = False

    def start(self, call: Call, images: Iterator[GivenImage], transport: Transport) -> None:
        """Send the images of a call, and return at once. Raises PredictionsError after `fail`."""
        with self._changed:
            if self._failure:
                raise PredictionsError(self._failure)
            self._calls = [call, *(other for other in self._calls if not (other.idle and other.ended))]
        send_pool.start(call.take(images), partial(self._send, transport, call), call, transport.threads)

    def receive(self, response: Response) -> None:
        """Pass a response to its call. A response that belongs to none is dropped."""
        for call in self._calls:
            if call.receive(response):
                return

    def fail(self, reason: str) -> None:
        """End all calls, and refuse new ones."""
        with self._changed:
            self._failure = self._failure or reason
            calls = self._calls
        for call in calls:
            call.abort(reason)

    def join(self, timeout_s: float) -> None:
        """Wait until no image is being sent."""
        with self._changed:
            self._changed.wait_for(lambda: not self._sending, timeout_s)

    def _send(self, transport: Transport, call: Call, image: Image) -> None:
        """Send an image. A fault that all images have ends the call, and so does any fault of the first connection."""
        self._count_sending(1)
        try:
            if call.stopped:  # since the image was taken: `join` may have returned, and the connection be closed
                return
            transport.send(image)
            self._reached = True
            call.sent(image)
        except SendError as exc:
            if not exc.for_all and (self._reached or not exc.temporary):
                raise
            call.stop_sending(plain(exc))
        finally:
            self._count_sending(-1)

    def _count_sending(self, more: int) -> None:
        with self._changed:
            self._sending += more
            self._changed.notify_all()
