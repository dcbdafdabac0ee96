"""Images that several threads send at the same time share a message."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from client.transport import gatherer
from client.transport.gatherer import Gathered, Gatherer
from functions.messages.contract import Envelope, ObjectRef, Rejected, Request
from functions.messages.image_lines import decode_lines, has_lines
from functions.messages.response_list import encode_list
from tests import earlier_contract
from tests.unit.test_response_schema import OK
from tests.waiting import until


class Topic:
    """A topic in memory. It confirms at once, or when `confirm` is called."""

    def __init__(self, failure: Exception | None = None, *, holds: bool = False) -> None:
        self.messages: list[Envelope] = []
        self._failure, self._holds = failure, holds
        self._held: list[Future[str]] = []

    def publish(self, data: bytes, attributes: Mapping[str, str]) -> Future[str]:
        self.messages.append(Envelope(str(len(self.messages)), data, attributes))
        published: Future[str] = Future()
        if self._failure:
            published.set_exception(self._failure)
        elif self._holds:
            self._held.append(published)
        else:
            published.set_result("1")
        return published

    def confirm(self) -> None:
        for each in self._held:
            each.set_result("1")

    def requests(self) -> list[list[Request | Rejected]]:
        found = [decode_lines(each) for each in self.messages]
        return [each for each in found if isinstance(each, list)]


def gathered(number: int, image: bytes | ObjectRef = b"image") -> Gathered:
    return Gathered(image, {"request_id": f"r{number}", "filename": f"{number}.png", "reply_to": "desk", "top_k": "2"})


def send_all(made: Gatherer, images: list[Gathered], timeout_s: float = 10) -> list[BaseException | None]:
    """Send images at the same time, and return what went wrong with each."""
    with ThreadPoolExecutor(len(images)) as threads:
        return [each.exception() for each in [threads.submit(made.send, image, timeout_s) for image in images]]


def test_a_full_message_is_sent_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gatherer, "GATHER_S", 60)
    topic = Topic()
    images = [*map(gathered, range(7)), gathered(7, ObjectRef("photos", "a", 3))]
    assert send_all(Gatherer(topic.publish, 4, {"responses": "batch"}), images) == [None] * 8
    assert [len(each) for each in topic.requests()] == [4, 4]
    found = {request.request_id: request for each in topic.requests() for request in each}
    assert found.keys() == {f"r{number}" for number in range(8)}
    for request in found.values():
        assert isinstance(request, Request) and (request.reply_to, request.options.top_k) == ("desk", 2)
        assert request.source.filename == f"{request.request_id[1:]}.png"
    last = found["r7"]
    assert isinstance(last, Request) and last.image == ObjectRef("photos", "a", 3)
    for message in topic.messages:
        assert message.attributes["responses"] == "batch" and "filename" not in message.attributes
        ids = [json.loads(line)["request_id"] for line in message.payload.splitlines()]
        assert message.attributes["request_id"] == ids[0]


def test_a_message_that_does_not_fill_is_sent_soon() -> None:
    topic = Topic()
    assert send_all(Gatherer(topic.publish, 100, {}), [gathered(1), gathered(2)]) == [None, None]
    assert sum(map(len, topic.requests())) in (2, 0), "together, or each alone where one came late"


@pytest.mark.parametrize("image", [b"image", ObjectRef("photos", "a", 3)])
def test_one_image_is_sent_as_a_message_of_its_own(image: bytes | ObjectRef) -> None:
    topic, alone = Topic(), gathered(1, image)
    Gatherer(topic.publish, 100, {"responses": "batch"}).send(alone, 10)
    [message] = topic.messages
    assert not has_lines(message.attributes) and message.attributes == alone.attributes
    assert message.payload == (image if isinstance(image, bytes) else b'{"image_uri": "gs://photos/a#3"}')


def test_a_message_is_not_larger_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gatherer, "MESSAGE_BYTES", 1_000)
    topic = Topic()
    assert send_all(Gatherer(topic.publish, 100, {}), [gathered(each, bytes(300)) for each in range(6)]) == [None] * 6
    assert all(len(message.payload) <= 1_000 for message in topic.messages) and len(topic.messages) >= 3


@pytest.mark.parametrize("is_raised", [False, True])
def test_each_image_of_a_message_fails_with_it(is_raised: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gatherer, "GATHER_S", 60)
    failure = ConnectionError("no broker")

    def refuse(data: bytes, attributes: Mapping[str, str]) -> Future[str]:
        raise failure

    publish = refuse if is_raised else Topic(failure).publish
    assert send_all(Gatherer(publish, 3, {}), [*map(gathered, range(3))]) == [failure] * 3


def test_an_image_is_not_confirmed_before_its_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gatherer, "GATHER_S", 60)
    topic, confirmed = Topic(holds=True), threading.Event()
    made = Gatherer(topic.publish, 2, {})

    def send(number: int) -> None:
        made.send(gathered(number), 10)
        confirmed.set()

    threads = [threading.Thread(target=send, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    assert until(lambda: topic._held) and not confirmed.wait(0.1)
    topic.confirm()
    for thread in threads:
        thread.join(10)
    assert confirmed.is_set()


def test_an_old_client_drops_a_list_as_no_response() -> None:
    """It can receive one on a subscription that it shares with newer clients."""
    with pytest.raises(ValueError, match="source is missing"):
        earlier_contract.decode_response(encode_list([OK]), {"kind": "batch"})
