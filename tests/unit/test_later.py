"""Answering without waiting: the same answers, for what is small and takes nothing but a decoder and the scores."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from functions.messages.contract import Envelope, Response, Timing
from functions.service.handler import on_message
from functions.service.in_flight import Pending
from functions.service.pipeline import QUICK_BYTES
from model.engines.base import Images, Scores
from model.engines.micro_batcher import MicroBatcher
from model.predictor import Predictor
from tests.fakes import BrightnessEngine, MemoryResponses, fake_service
from tests.samples import BAD_IMAGES, encoded
from tests.unit.test_worker import Pulled

ASKED = {
    "good": Envelope("m1", encoded()),
    "top_k": Envelope("m1", encoded(), {"top_k": "2", "reply_to": "me"}),
    "wrong top_k": Envelope("m1", encoded(), {"top_k": "many"}),
    "unknown model": Envelope("m1", encoded(), {"model": "other"}),
    "expired": Envelope("m1", encoded(), {"expires_at": "2020-01-01T00:00:00Z"}),
    **{name: Envelope("m1", data) for name, (data, _) in BAD_IMAGES.items()},
}


@pytest.fixture
def batcher() -> Iterator[MicroBatcher]:
    batcher = MicroBatcher(BrightnessEngine(), max_batch_size=4, scorers=2)
    yield batcher
    batcher.close()


def timeless(response: Response | None) -> Response:
    assert response
    return replace(response, timing_ms=Timing(), completed_at="")


@pytest.mark.parametrize("envelope", ASKED.values(), ids=ASKED)
def test_the_answer_is_the_same_whether_or_not_anybody_waits_for_it(envelope: Envelope, batcher: MicroBatcher) -> None:
    moment = datetime.now(UTC)
    waited = fake_service(now=lambda: moment).respond(envelope)
    later = fake_service(predictor=Predictor(batcher), now=lambda: moment).respond_later(envelope).result(10)
    assert timeless(later) == timeless(waited)
    timing = later.timing_ms
    assert 0 <= timing.decode + timing.predict <= timing.total + 0.03


def test_a_refused_image_is_let_go_without_the_collector(batcher: MicroBatcher) -> None:
    image = bytes(bytearray(b"no image"))
    gc.disable()
    try:
        answered = fake_service(predictor=Predictor(batcher)).respond_later(Envelope("m1", image))
        assert answered.result(10).error
        batcher.close()  # its threads have let go
        assert sys.getrefcount(image) == 2
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("envelope", "quick"),
    [
        (Envelope("m1", encoded()), True),
        (Envelope("m1", b""), True),
        (Envelope("m1", bytes(QUICK_BYTES + 1)), False),
        (Envelope("m1", b'{"image_uri": "gs://bucket/object"}'), False),
        (Envelope("m1", encoded(), {"explain": "true"}), False),
        (Envelope("m1", b"", {"eventType": "OBJECT_FINALIZE", "bucketId": "b", "objectId": "o"}), False),
    ],
)
def test_what_may_be_answered_so(envelope: Envelope, quick: bool) -> None:
    assert fake_service().is_quick(envelope) == quick


def test_nothing_is_where_a_response_store_is_asked() -> None:
    class Never:
        def keep(self, identity: str, response: Response) -> Response:
            raise AssertionError

    assert not fake_service(response_store=Never()).is_quick(Envelope("m1", encoded()))


def test_a_redelivery_is_not_scored_again() -> None:
    engine = BrightnessEngine()
    service = fake_service(engine=engine)
    answers = [service.respond_later(Envelope("m1", encoded())).result(10) for _ in range(2)]
    assert answers[0] == answers[1] and engine.sizes == [1]


def test_of_two_copies_at_once_both_get_the_first_answer() -> None:
    both, engine = threading.Barrier(2, timeout=10), BrightnessEngine()

    class Meeting(BrightnessEngine):
        def score(self, images: Images, /) -> Scores:
            both.wait()
            return engine.score(images)

    service = fake_service(engine=Meeting())
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(service.respond, [Envelope("m1", encoded())] * 2))
    assert answers[0] == answers[1], "its times too"


def test_what_waits_to_be_scored_when_a_worker_stops_is_handed_back() -> None:
    go, entered = threading.Event(), threading.Event()

    class Slow(BrightnessEngine):
        def score(self, images: Images, /) -> Scores:
            entered.set()
            assert go.wait(10)
            return super().score(images)

    batcher, responses, pending = MicroBatcher(Slow(), max_batch_size=1), MemoryResponses(), Pending()
    service = fake_service(predictor=Predictor(batcher), responses=responses)
    messages = [Pulled(Envelope("m1", encoded(), {"request_id": f"r{number}"})) for number in range(3)]
    on_message(messages[0], service.respond_later, service, pending)
    assert entered.wait(10)
    for message in messages[1:]:
        on_message(message, service.respond_later, service, pending)
    service.hand_back()
    go.set()
    assert pending.drain(10) == 0
    assert [message.verdicts for message in messages] == [["ack"], ["nack"], ["nack"]]
    assert [response.request_id for response in responses.published] == ["r0"]
    assert service.outcomes.counts()["outcomes"]["nacked"] == 2 and service.outcomes.counts()["codes"] == {}
    batcher.close()


def test_what_fails_before_anything_is_scored_is_nacked() -> None:
    def failing(envelope: Envelope) -> Future[Response]:
        raise RuntimeError("broken")

    message, service, pending = Pulled(), fake_service(), Pending()
    on_message(message, failing, service, pending)
    assert message.verdicts == ["nack"] and pending.drain(1) == 0
    assert service.outcomes.counts()["outcomes"]["nacked"] == 1
