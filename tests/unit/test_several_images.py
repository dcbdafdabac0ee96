"""The handler with messages of several images: each image is answered, and the message is settled once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from functions.errors import UNAVAILABLE
from functions.messages.contract import DEAD_LETTER, MAX_LINES, Envelope, ObjectRef, Response
from functions.messages.image_lines import encode_line
from functions.messages.request_decoder import LINES_TYPE
from functions.service.handler import Handler
from model.engines.micro_batcher import MicroBatcher
from model.predictor import Predictor
from tests.fakes import BrightnessEngine, MemoryObjects, MemoryResponses, MemoryResponseStore, fake_handler
from tests.samples import encoded
from tests.unit.test_handler import RecordedDelivery, counts
from tests.waiting import until

STORED = ObjectRef("photos", "a")


class Rig:
    """A handler as the worker builds it; its deliveries are awaited as those of push, or not."""

    def __init__(self, is_awaited: bool) -> None:
        self.is_awaited = is_awaited
        self.engine, self.responses, self.pool = BrightnessEngine(), MemoryResponses(), ThreadPoolExecutor(4)
        self.objects = MemoryObjects({STORED.uri: encoded()})
        self.batcher = MicroBatcher(self.engine, max_batch_size=8)

    def handler(self, **parts: Any) -> Handler:
        return fake_handler(
            predictor=Predictor(self.batcher),
            batches=self.batcher,
            responses=self.responses,
            objects=self.objects,
            executor=self.pool,
            **parts,
        )

    def handle(
        self, handler: Handler, *lines: bytes, dead: bool = False, asked: dict[str, str] | None = None, **more: str
    ) -> list[str]:
        """The verdicts on a message, once there is one. Its attributes are those of `asked`, and `more`."""
        delivery = RecordedDelivery(message(*lines, **(asked or {}), **more), self.is_awaited)
        handler.handle(delivery, is_dead_letter=dead)
        assert until(lambda: bool(delivery.verdicts) and not handler.in_flight.longest_s(), 10)
        return delivery.verdicts


@pytest.fixture(params=[True, False], ids=["push", "pull"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    made = Rig(request.param)
    yield made
    made.pool.shutdown()
    made.batcher.close()


def message(*lines: bytes, **attributes: str) -> Envelope:
    return Envelope("m1", b"\n".join(lines), {"content_type": LINES_TYPE, **attributes}, delivery_attempt=2)


def line(request_id: str, image: bytes | ObjectRef | None = None) -> bytes:
    return encode_line(request_id, image or encoded(), f"{request_id}.png")


def by_id(responses: list[Response]) -> dict[str, Response]:
    assert len({response.request_id for response in responses}) == len(responses)
    return {response.request_id: response for response in responses}


def test_each_image_has_its_response_and_the_message_is_acked_once(rig: Rig) -> None:
    handler = rig.handler()
    bad, reference, missing = line("bad", b"no image"), line("ref", STORED), line("none", ObjectRef("photos", "b"))
    lines = [line("a"), bad, reference, line("large", encoded(size=(900, 900), format="BMP")), missing, line("b")]
    assert rig.handle(handler, *lines, top_k="2", reply_to="me") == ["ack"]
    found = by_id(rig.responses.published)
    assert {name: response.error and response.error.code for name, response in found.items()} == {
        "a": None,
        "bad": "invalid_image",
        "ref": None,
        "large": None,
        "none": "image_not_found",
        "b": None,
    }
    assert all(len(response.predictions) == 2 for response in found.values() if not response.error)
    assert {(response.reply_to, response.delivery_attempt) for response in found.values()} == {("me", 2)}
    assert found["a"].source.filename == "a.png" and found["ref"].source.image_uri == STORED.uri
    assert counts(handler) == {"ok": 4, "error": 2}


def test_the_images_of_a_message_are_scored_in_batches(rig: Rig) -> None:
    assert rig.handle(rig.handler(), *(line(str(n)) for n in range(MAX_LINES))) == ["ack"]
    assert len(rig.responses.published) == MAX_LINES and max(rig.engine.sizes) == 8
    assert len(rig.engine.sizes) < MAX_LINES / 2


def test_a_list_has_the_responses_in_the_order_of_the_images(rig: Rig) -> None:
    lines = [line("ref", STORED), line("bad", b"no image"), *(line(str(n)) for n in range(20))]
    assert rig.handle(rig.handler(), *lines, responses="batch", reply_to="me", request_id="all") == ["ack"]
    [(responses, attributes)] = rig.responses.lists
    assert [each.request_id for each in responses] == ["ref", "bad", *map(str, range(20))]
    assert attributes == {"kind": "batch", "request_id": "all", "reply_to": "me"} and not rig.responses.published


def test_a_broken_message_has_one_error_and_is_acked(rig: Rig) -> None:
    handler = rig.handler()
    assert rig.handle(handler, line("a"), line("a"), responses="batch") == ["ack"]
    [response] = rig.responses.published
    assert response.request_id == "m1" and response.error and response.error.code == "invalid_request"
    assert response.error.message.startswith("request_id of line 2 is 'a', as of line 1;")


@pytest.mark.parametrize("asked", [{}, {"responses": "batch"}], ids=["each", "batch"])
@pytest.mark.parametrize("has_store", [False, True], ids=["cache", "store"])
def test_one_transient_failure_nacks_the_message_and_its_redelivery_says_the_same(
    rig: Rig, asked: dict[str, str], has_store: bool
) -> None:
    handler = rig.handler(response_store=MemoryResponseStore() if has_store else None)
    lines = [line("a"), line("ref", STORED), line("bad", b"no image")]
    rig.objects.failure = ConnectionError("not now")
    assert rig.handle(handler, *lines, asked=asked) == ["nack"]
    published = rig.responses.lists[0][0] if asked else rig.responses.published
    first = by_id(published)
    assert first.keys() == {"a", "bad"}
    published.clear()
    rig.objects.failure = None
    if has_store:  # another worker answers the redelivery
        handler = rig.handler(response_store=handler.response_store)
    assert rig.handle(handler, *lines, asked=asked) == ["ack"]
    second = by_id(rig.responses.lists[1][0] if asked else rig.responses.published)
    assert second.keys() == {"a", "ref", "bad"}
    assert {name: second[name] for name in first} == first


@pytest.mark.parametrize("asked", [{}, {"responses": "batch"}], ids=["each", "batch"])
def test_a_message_is_nacked_when_its_responses_cannot_be_published(rig: Rig, asked: dict[str, str]) -> None:
    handler = rig.handler()
    rig.responses.failure = ConnectionError("no broker")
    assert rig.handle(handler, line("a"), line("b"), asked=asked) == ["nack"]
    assert counts(handler) == {"nacked": 2}


def test_the_message_is_not_acked_before_the_broker_has_the_last_response() -> None:
    rig = Rig(False)
    rig.responses.hold = True
    delivery = RecordedDelivery(message(line("a"), line("b")))
    rig.handler().handle(delivery)
    assert until(lambda: len(rig.responses.futures) == 2)
    rig.responses.futures[0].set_result("1")
    assert not delivery.verdicts
    rig.responses.futures[1].set_result("2")
    assert until(lambda: delivery.verdicts == ["ack"])
    rig.pool.shutdown()
    rig.batcher.close()


def test_each_image_of_a_dead_letter_is_announced(rig: Rig) -> None:
    handler = rig.handler()
    rig.objects.failure = ConnectionError("not now")
    lines = [line("a", STORED), line("b")]
    assert rig.handle(handler, *lines) == ["nack"]
    rig.responses.published.clear()
    attempts = {"CloudPubSubDeadLetterSourceDeliveryCount": "20"}
    assert rig.handle(handler, *lines, dead=True, reply_to="me", asked=attempts) == ["ack"]
    found = by_id(rig.responses.published)
    assert {name: each.error and (each.error.code, each.error.message) for name, each in found.items()} == {
        "a": (UNAVAILABLE, f"{DEAD_LETTER}: ConnectionError"),
        "b": (UNAVAILABLE, DEAD_LETTER),
    }
    assert {(each.reply_to, each.delivery_attempt) for each in found.values()} == {("me", 20)}


def test_an_image_has_the_same_response_alone_and_among_others(rig: Rig) -> None:
    """So a client may send an image again by itself, or gather it with others."""
    handler = rig.handler(response_store=MemoryResponseStore())
    assert rig.handle(handler, line("a"), line("b")) == ["ack"]
    alone = RecordedDelivery(
        Envelope("m2", encoded(), {"request_id": "a", "filename": "a.png"}, delivery_attempt=1), rig.is_awaited
    )
    handler.handle(alone)
    assert until(lambda: bool(alone.verdicts))
    assert alone.response == replace(by_id(rig.responses.published[:2])["a"])


def test_stopping_nacks_a_message_whose_images_wait() -> None:
    rig, begun, scoring = Rig(False), threading.Event(), threading.Event()
    score = rig.engine.score
    rig.engine.score = lambda images: (begun.set(), scoring.wait(10), score(images))[2]  # type: ignore[method-assign, func-returns-value]
    handler, delivery = rig.handler(), RecordedDelivery(message(*(line(str(n)) for n in range(40))))
    handler.handle(delivery)
    assert begun.wait(10)
    handler.pipeline.cancel()
    scoring.set()
    assert until(lambda: bool(delivery.verdicts)) and delivery.verdicts == ["nack"]
    assert handler.in_flight.drain(1) == 0 and 0 < len(rig.responses.published) < 40
    rig.batcher.close()
