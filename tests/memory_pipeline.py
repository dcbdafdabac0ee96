"""A pipeline in memory for the Python API: a fake transport, and a client that is connected to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import pytest

from client import Prediction, Predictions
from client.api import client as api_client
from client.api.calls import Calls
from client.images import Image
from client.results.request_tracker import Tracker
from client.text import SendError
from client.transport.base import SendOptions, Sent
from functions.messages.contract import Error, Response
from tests.waiting import until

Answer = Callable[[Image], Response | None]


def ok(image: Image, label: str = "Bag") -> Response:
    return Response(image.request_id, (Prediction(label, 0.9),))


def error(image: Image, code: str) -> Response:
    return Response(image.request_id, error=Error(code, "a sentence"))


def by_content(image: Image) -> Response | None:
    """The response that the image's content names; none for `lost`."""
    match image.read():
        case b"lost":
            return None
        case b"unread":
            raise SendError("it cannot be read")
        case b"bad":
            return error(image, "invalid_image")
        case b"down":
            return error(image, "unavailable")
        case content:
            return ok(image, content.decode())


class Pipeline:
    """A pipeline in memory. It answers at once, or with `hold` when `release` is called."""

    def __init__(self) -> None:
        self.threads = 4
        self.answer: Answer = by_content
        self.hold = False
        self.sent: list[str] = []
        self.options: list[SendOptions] = []
        self._held: list[Response] = []
        self.calls: Calls | None = None

    def connection(self, calls: Calls, *_: object, **__: object) -> Any:
        self.calls = calls
        return nullcontext(self.transport)

    def transport(self, tracker: Tracker, options: SendOptions) -> Transport:
        self.options.append(options)
        return Transport(self, tracker)

    def receive(self, response: Response) -> None:
        assert self.calls
        self.calls.receive(response)

    def accept(self, image: Image) -> None:
        response = self.answer(image)
        if response and self.hold:
            self._held.append(response)
        elif response:
            self.receive(response)
        self.sent.append(image.location)

    def release(self, after: int = 0) -> None:
        """Answer what is held, and from now on at once; first wait until `after` images were sent."""
        assert until(lambda: len(self.sent) >= after)
        self.hold = False
        while self._held:
            self.receive(self._held.pop())


class Transport:
    def __init__(self, pipeline: Pipeline, tracker: Tracker) -> None:
        self.threads, self._pipeline, self._tracker = pipeline.threads, pipeline, tracker

    def send(self, image: Image) -> Sent:
        self._tracker.expect(image.request_id, image, trace_id="t")
        self._pipeline.accept(image)
        return Sent(image.request_id, "t")


def names() -> Iterator[bytes]:
    """Images without an end."""
    number = 0
    while True:
        yield str(number).encode()
        number += 1


def sending() -> bool:
    """Whether a thread of a call exists."""
    return any(thread.name.startswith("send-") for thread in threading.enumerate())


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    pipeline = Pipeline()
    monkeypatch.setattr(api_client, "connection_to", pipeline.connection)
    return pipeline


@pytest.fixture
def predictions(pipeline: Pipeline) -> Iterator[Predictions]:
    before = set(threading.enumerate())
    with Predictions("p") as p:
        yield p
    assert until(lambda: set(threading.enumerate()) <= before), "a thread was left behind"
