"""The handler with every kind of delivery: one response, published before the ack, or a nack."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from functions.messages.contract import DEAD_LETTER, Envelope, Response, Timing
from functions.messages.request_decoder import DEAD_LETTER_ATTEMPTS
from functions.service.handler import Handler
from functions.service.models import OneModel, ServedModel
from model.engines.base import Images, Scores
from model.engines.micro_batcher import MicroBatcher
from model.images.memory_budget import MemoryBudget
from model.predictor import Predictor
from tests.fakes import BrightnessEngine, MemoryObjects, MemoryResponses, MemoryResponseStore, engine_of, fake_handler
from tests.samples import BAD_IMAGES, encoded
from tests.waiting import until


@dataclass
class RecordedDelivery:
    """A delivery that remembers its verdicts."""

    envelope: Envelope = field(default_factory=lambda: Envelope("m1", encoded()))
    is_awaited: bool = False
    verdicts: list[str] = field(default_factory=list)
    response: Response | None = None

    def ack(self, response: Response | None, /) -> None:
        self.response = response
        self.verdicts.append("ack")

    def nack(self) -> None:
        self.verdicts.append("nack")


@dataclass
class Kind:
    """A way in which deliveries come: makes handlers and deliveries for it."""

    is_awaited: bool
    executor: Executor | None = None
    is_batched: bool = False
    batchers: list[MicroBatcher] = field(default_factory=list)

    def handler(self, engine: BrightnessEngine | None = None, **parts: Any) -> Handler:
        """A handler as the worker builds it for this kind."""
        batcher = MicroBatcher(engine or BrightnessEngine(), max_batch_size=4, scorers=2)
        self.batchers.append(batcher)
        if self.executor:
            parts["executor"] = self.executor
        return fake_handler(predictor=Predictor(batcher), batches=batcher if self.is_batched else None, **parts)

    def handle(self, handler: Handler, envelope: Envelope | None = None, dead: bool = False) -> RecordedDelivery:
        """A delivery that is settled, unless the publisher holds its response."""
        delivery = RecordedDelivery(envelope or Envelope("m1", encoded()), self.is_awaited)
        handler.handle(delivery, is_dead_letter=dead)
        publisher = handler.publisher
        if isinstance(publisher, MemoryResponses) and publisher.hold:
            assert until(lambda: publisher.futures or delivery.verdicts)
        else:
            assert until(lambda: delivery.verdicts and not handler.in_flight.longest_s())
        return delivery


@pytest.fixture(params=["push", "pull", "pull in batches"])
def kind(request: pytest.FixtureRequest) -> Iterator[Kind]:
    """Push and HTTP wait for the ack; pull uses a thread pool, and for small images the scoring threads."""
    pool = ThreadPoolExecutor(4)
    made = Kind(request.param == "push", None if request.param == "push" else pool, request.param == "pull in batches")
    yield made
    pool.shutdown()
    for batcher in made.batchers:
        batcher.close()


def counts(handler: Handler) -> dict[str, int]:
    outcomes: dict[str, int] = handler.request_log.counts()["outcomes"]
    return {name: count for name, count in outcomes.items() if count}


def test_a_request_is_answered_and_acked(kind: Kind) -> None:
    handler = kind.handler()
    delivery = kind.handle(handler, Envelope("m1", encoded(), {"top_k": "2", "reply_to": "me"}, delivery_attempt=3))
    assert delivery.verdicts == ["ack"] and delivery.response
    assert (delivery.response.request_id, delivery.response.reply_to) == ("m1", "me")
    assert len(delivery.response.predictions) == 2 and delivery.response.delivery_attempt == 3
    assert counts(handler) == {"ok": 1} and handler.in_flight.drain(1) == 0


def test_a_reference_is_answered_and_acked(kind: Kind) -> None:
    handler = kind.handler(objects=MemoryObjects({"gs://bucket/a": encoded()}))
    delivery = kind.handle(handler, Envelope("m1", b'{"image_uri": "gs://bucket/a"}'))
    assert delivery.verdicts == ["ack"] and delivery.response and delivery.response.status == "ok"


@pytest.mark.parametrize(("data", "code"), BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_a_permanent_failure_is_answered_and_acked(kind: Kind, data: bytes, code: str) -> None:
    handler = kind.handler()
    delivery = kind.handle(handler, Envelope("m1", data))
    assert delivery.verdicts == ["ack"] and delivery.response and delivery.response.error
    assert delivery.response.error.code == code and counts(handler) == {"error": 1}


def test_a_rejected_request_is_answered_and_acked(kind: Kind) -> None:
    delivery = kind.handle(kind.handler(), Envelope("m1", encoded(), {"top_k": "many"}))
    assert delivery.verdicts == ["ack"] and delivery.response and delivery.response.error
    assert delivery.response.error.code == "invalid_request"


@pytest.mark.parametrize("dead", [False, True])
def test_a_notification_that_asks_for_nothing_is_acked_without_a_response(kind: Kind, dead: bool) -> None:
    responses = MemoryResponses()
    handler = kind.handler(responses=responses)
    attributes = {"eventType": "OBJECT_DELETE", "bucketId": "b", "objectId": "o"}
    delivery = kind.handle(handler, Envelope("m1", b"", attributes), dead)
    assert delivery.verdicts == ["ack"] and responses.published == [] and counts(handler) == {"ignored": 1}
    assert handler.in_flight.drain(1) == 0


@pytest.mark.parametrize("part", ["engine", "objects", "responses", "response_store"])
def test_a_transient_failure_is_nacked_without_a_response(kind: Kind, part: str) -> None:
    class FailingStore(MemoryResponseStore):
        def keep(self, identity: str, response: Response) -> Response:
            raise TimeoutError("slow today")

    engine, objects, responses = BrightnessEngine(), MemoryObjects({"gs://bucket/a": encoded()}), MemoryResponses()
    failing: dict[str, Any] = {"engine": engine, "objects": objects, "responses": responses}
    if part in failing:
        failing[part].failure = TimeoutError("slow today")
    else:
        failing[part] = FailingStore()
    handler = kind.handler(**failing)
    delivery = kind.handle(handler, Envelope("m1", b'{"image_uri": "gs://bucket/a"}'))
    assert delivery.verdicts == ["nack"] and responses.published == []
    assert counts(handler) == {"nacked": 1} and handler.in_flight.drain(1) == 0


def test_a_failed_engine_nacks_a_small_image(kind: Kind) -> None:
    engine, responses = BrightnessEngine(), MemoryResponses()
    engine.failure = RuntimeError("broken")
    delivery = kind.handle(kind.handler(engine, responses=responses))
    assert delivery.verdicts == ["nack"] and responses.published == []


def test_a_delivery_is_acked_only_when_the_broker_has_the_response(kind: Kind) -> None:
    responses = MemoryResponses(hold=True)
    handler = kind.handler(responses=responses)
    delivery = RecordedDelivery(is_awaited=kind.is_awaited)
    thread = threading.Thread(target=handler.handle, args=(delivery,))
    thread.start()
    assert until(lambda: bool(responses.futures), 10)
    assert delivery.verdicts == [] and handler.in_flight.drain(0.01) == 1
    responses.futures[0].set_result("id")
    thread.join(10)
    assert until(lambda: delivery.verdicts == ["ack"]) and handler.in_flight.drain(10) == 0


def test_a_redelivery_gets_the_same_response_without_scoring(kind: Kind) -> None:
    engine = BrightnessEngine()
    handler = kind.handler(engine)
    first, second = (kind.handle(handler, Envelope(f"m{n}", encoded(), {"request_id": "r"})) for n in range(2))
    assert first.response == second.response and engine.sizes == [1]


@pytest.mark.parametrize("kind", ["push", "pull"], indirect=True)  # a batch may hold both copies
def test_two_copies_at_once_get_the_first_response(kind: Kind) -> None:
    both = threading.Barrier(2, timeout=10)

    class Meeting(BrightnessEngine):
        def score(self, images: Images, /) -> Scores:
            both.wait()
            return super().score(images)

    handler = kind.handler(Meeting())
    with ThreadPoolExecutor(2) as pool:
        deliveries = list(pool.map(lambda _: kind.handle(handler), range(2)))
    assert deliveries[0].response == deliveries[1].response, "with its times"


def test_workers_with_one_response_store_publish_the_same_response(kind: Kind) -> None:
    store = MemoryResponseStore()
    handlers = [kind.handler(response_store=store) for _ in range(2)]
    first, second = (kind.handle(handler) for handler in handlers)
    assert first.response == second.response and len(store.answers) == 1


def test_a_dead_letter_gets_an_unavailable_response(kind: Kind) -> None:
    handler = kind.handler()
    attributes = {"request_id": "r1", "reply_to": "me", DEAD_LETTER_ATTEMPTS: "20"}
    delivery = kind.handle(handler, Envelope("m9", encoded(), attributes), dead=True)
    response = delivery.response
    assert delivery.verdicts == ["ack"] and response and response.error and response.error.code == "unavailable"
    assert (response.request_id, response.reply_to, response.delivery_attempt) == ("r1", "me", 20)


def test_a_dead_letter_is_announced_with_the_last_failure_that_this_worker_knows(kind: Kind) -> None:
    engine = BrightnessEngine()
    handler = kind.handler(engine)
    attributes = {"request_id": "r1"}
    for engine.failure in (KeyError("x"), RuntimeError("secret")):
        assert kind.handle(handler, Envelope("m1", encoded(), attributes)).verdicts == ["nack"]
    announced = [kind.handle(handler, Envelope("m9", encoded(), {"request_id": id}), dead=True) for id in ("r1", "r2")]
    errors = [delivery.response and delivery.response.error for delivery in announced]
    assert [error and error.message for error in errors] == [f"{DEAD_LETTER}: RuntimeError", DEAD_LETTER]


def test_neither_a_failure_nor_a_dead_letter_is_cached(kind: Kind) -> None:
    engine, responses = BrightnessEngine(), MemoryResponses()
    handler = kind.handler(engine, responses=responses)
    engine.failure = RuntimeError("busy")
    assert kind.handle(handler).verdicts == ["nack"]
    kind.handle(handler, dead=True)
    engine.failure = None
    kind.handle(handler)
    assert [response.status for response in responses.published] == ["error", "ok"]


def test_a_request_that_finds_no_memory_is_nacked_and_logged(kind: Kind, caplog: pytest.LogCaptureFixture) -> None:
    budget = MemoryBudget(1, patience_s=0.01)
    handler = kind.handler()
    default = handler.pipeline.models.default
    served = ServedModel(default.model, Predictor(engine_of(handler), memory_budget=budget), default.batches)
    handler = replace(handler, pipeline=replace(handler.pipeline, models=OneModel(served)))
    with budget.reserve(1), caplog.at_level(logging.INFO, "functions"):
        delivery = kind.handle(handler, Envelope("m1", encoded(), {"request_id": "r"}))
    (record,) = caplog.records
    assert delivery.verdicts == ["nack"] and counts(handler) == {"nacked": 1}
    assert (vars(record)["outcome"], vars(record)["request_id"]) == ("nacked", "r")


ASKED = {
    "good": Envelope("m1", encoded()),
    "top_k": Envelope("m1", encoded(), {"top_k": "2", "reply_to": "me"}),
    "wrong top_k": Envelope("m1", encoded(), {"top_k": "many"}),
    "unknown model": Envelope("m1", encoded(), {"model": "other"}),
    "expired": Envelope("m1", encoded(), {"expires_at": "2020-01-01T00:00:00Z"}),
    **{name: Envelope("m1", data) for name, (data, _) in BAD_IMAGES.items()},
}


@pytest.mark.parametrize("envelope", ASKED.values(), ids=ASKED)
def test_every_kind_of_delivery_gets_the_same_response(kind: Kind, envelope: Envelope) -> None:
    moment = datetime.now(UTC)
    here = kind.handle(kind.handler(now=lambda: moment), envelope).response
    plain = Kind(is_awaited=True)
    there = plain.handle(plain.handler(now=lambda: moment), envelope).response
    plain.batchers[0].close()
    assert here and there
    assert replace(here, timing_ms=Timing()) == replace(there, timing_ms=Timing())
    assert 0 <= here.timing_ms.decode + here.timing_ms.predict <= here.timing_ms.total + 0.03
