"""The threads of the handler: which of them prepares an image, and what a stopping worker cancels and awaits."""

from __future__ import annotations

import gc
import logging
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from functions.messages.contract import Envelope
from functions.service.pipeline import SMALL_BYTES
from model.engines.base import Images, Scores
from model.engines.micro_batcher import MicroBatcher
from model.predictor import Predictor
from tests.fakes import BrightnessEngine, MemoryObjects, MemoryResponses, fake_handler
from tests.samples import encoded
from tests.unit.test_handler import RecordedDelivery, counts
from tests.waiting import until


def held_engine(go: threading.Event, entered: threading.Event) -> BrightnessEngine:
    class Held(BrightnessEngine):
        def score(self, images: Images, /) -> Scores:
            entered.set()
            assert go.wait(10)
            return super().score(images)

    return Held()


@pytest.mark.parametrize("payload", [encoded(), b'{"image_uri": "gs://bucket/a"}'], ids=["small", "reference"])
def test_a_stopping_worker_cancels_queued_requests(payload: bytes, caplog: pytest.LogCaptureFixture) -> None:
    go, entered = threading.Event(), threading.Event()
    batcher = MicroBatcher(held_engine(go, entered), max_batch_size=1)
    handler = fake_handler(
        predictor=Predictor(batcher),
        batches=batcher,
        executor=ThreadPoolExecutor(1),
        objects=MemoryObjects({"gs://bucket/a": encoded()}),
    )
    deliveries = [RecordedDelivery(Envelope("m", payload, {"request_id": f"r{number}"})) for number in range(3)]
    for delivery in deliveries:
        handler.handle(delivery)
    assert entered.wait(10)
    with caplog.at_level(logging.INFO, "functions"):
        handler.pipeline.cancel()
    assert [vars(record)["request_id"] for record in caplog.records] == ["r1", "r2"]
    go.set()
    assert handler.in_flight.drain(10) == 0
    assert [delivery.verdicts for delivery in deliveries] == [["ack"], ["nack"], ["nack"]]
    assert counts(handler) == {"ok": 1, "nacked": 2} and handler.request_log.counts()["codes"] == {}
    batcher.close()


@pytest.mark.parametrize("begun", [1, 3])
def test_a_stopping_worker_waits_for_requests_in_flight(begun: int) -> None:
    responses = MemoryResponses(hold=True)
    handler = fake_handler(responses=responses)
    deliveries = [RecordedDelivery() for _ in range(begun)]
    for delivery in deliveries:
        handler.handle(delivery)
    left: list[int] = []
    closing = threading.Thread(target=lambda: left.append(handler.in_flight.drain(10)))
    closing.start()
    for future in responses.futures:
        assert left == []
        future.set_result("id")
    closing.join(10)
    assert left == [0] and all(delivery.verdicts == ["ack"] for delivery in deliveries)


SMALL = {
    "image": (Envelope("m1", encoded()), True),
    "larger image": (Envelope("m1", bytes(SMALL_BYTES + 1)), False),
    "reference": (Envelope("m1", b'{"image_uri": "gs://bucket/object"}'), False),
    "explanation": (Envelope("m1", encoded(), {"explain": "true"}), False),
    "features": (Envelope("m1", encoded(), {"features": "true"}), False),
    "upload": (Envelope("m1", b"", {"eventType": "OBJECT_FINALIZE", "bucketId": "b", "objectId": "o"}), False),
}


@pytest.mark.parametrize(("envelope", "is_small"), SMALL.values(), ids=SMALL)
def test_only_small_images_are_prepared_in_the_scoring_threads(envelope: Envelope, is_small: bool) -> None:
    threads: list[str] = []

    class Watched(BrightnessEngine):
        def score(self, images: Images, /) -> Scores:
            threads.append(threading.current_thread().name)
            return super().score(images)

    batcher = MicroBatcher(Watched(), max_batch_size=4)
    submitted: list[Callable[[], Images]] = []

    class Spied:
        def submit(self, prepare: Callable[[], Images], count: int = 1, /) -> Any:
            submitted.append(prepare)
            return batcher.submit(prepare, count)

        def cancel(self) -> None:
            batcher.cancel()

    handler = fake_handler(predictor=Predictor(batcher), batches=Spied(), executor=ThreadPoolExecutor(1))
    delivery = RecordedDelivery(envelope)
    handler.handle(delivery)
    assert until(lambda: bool(delivery.verdicts), 10)
    assert bool(submitted) == is_small
    batcher.close()


def test_a_refused_image_is_freed_without_the_garbage_collector() -> None:
    batcher = MicroBatcher(BrightnessEngine(), max_batch_size=4)
    image = bytes(bytearray(b"no image"))
    gc.disable()
    try:
        handler = fake_handler(predictor=Predictor(batcher), batches=batcher)
        delivery = RecordedDelivery(Envelope("m1", image))
        handler.handle(delivery)
        verdicts = delivery.verdicts
        assert until(lambda: bool(verdicts), 10) and delivery.response and delivery.response.error
        del delivery, handler
        batcher.close()  # its threads hold nothing any more
        assert sys.getrefcount(image) == 2
    finally:
        gc.enable()
