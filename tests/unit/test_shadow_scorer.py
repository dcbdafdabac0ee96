"""Shadows: copies of requests, scored apart from the answers."""

from __future__ import annotations

import dataclasses
import json
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from functions.messages.comparison import Comparison
from functions.messages.contract import Envelope, Error, Model, Request, Response
from functions.messages.request_decoder import decode
from functions.observability.request_log import RequestLog
from functions.runtime import shadow_scorer
from functions.runtime.shadow_scorer import ShadowScorer
from functions.service.models import Choice, OneModel, ServedModel, Shadow
from functions.service.pipeline import Pipeline
from model.engines.base import Images, Scores
from model.predictor import Predictor
from tests.fakes import MODEL, BrightnessEngine, MemoryObjects
from tests.samples import encoded
from tests.waiting import until

SHADE = Model("fake", "2.0.0", "sha256:" + "2" * 64, "fake")


class GatedEngine(BrightnessEngine):
    """Scores when its gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def score(self, images: Images, /) -> Scores:
        assert self.gate.wait(30)
        return super().score(images)


class Topic:
    """A topic in memory; publishing fails while `failure` is set."""

    def __init__(self) -> None:
        self.published: list[Comparison] = []
        self.failure: Exception | None = None
        self.arrived = threading.Semaphore(0)

    def publish(self, comparison: Comparison) -> Future[str]:
        future: Future[str] = Future()
        if self.failure:
            future.set_exception(self.failure)
        else:
            self.published.append(comparison)
            future.set_result("1")
        self.arrived.release()
        return future


class Bench:
    """A pipeline whose model has shadows."""

    def __init__(self, shadows: int = 1) -> None:
        self.topic, self.request_log = Topic(), RequestLog()
        self.scorer = ShadowScorer(self.topic.publish, self.request_log, start)
        self.engines = [GatedEngine() for _ in range(shadows)]
        self.served = ServedModel(MODEL, Predictor(BrightnessEngine()))
        shades = (
            Shadow(f"shade{number}", ServedModel(SHADE, Predictor(engine)))
            for number, engine in enumerate(self.engines)
        )
        self.choice = Choice(self.served, shadows=tuple(shades))
        self.pipeline = Pipeline(OneModel(self.served), MemoryObjects(), copies=self.scorer)

    def answer(self, data: bytes | None = None, request_id: str = "r1", **attributes: str) -> Response:
        request = decode(Envelope("m1", data or encoded(), {"request_id": request_id, **attributes}))
        assert isinstance(request, Request)
        return self.pipeline.submit(request, self.choice).result()

    def copies(self) -> dict[str, int]:
        counts: dict[str, int] = self.request_log.counts().get("copies", {})
        return counts

    def open(self) -> None:
        for engine in self.engines:
            engine.gate.set()


def start(name: str, run: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread


def test_each_shadow_says_what_it_would_have_answered() -> None:
    bench = Bench(shadows=2)
    answer = bench.answer(explain="true")
    bench.open()
    for _ in range(2):
        assert bench.topic.arrived.acquire(timeout=10)
    assert [each.alias for each in bench.topic.published] == ["shade0", "shade1"]
    for each in bench.topic.published:
        assert each.request_id == "r1" and each.served == answer
        assert each.shadow.model == SHADE and each.shadow.predictions == answer.predictions
        assert answer.explanation and each.shadow.explanation is None, "an explanation costs the most"
    assert until(lambda: bench.copies() == {"compared": 2})


def test_no_answer_waits_for_a_shadow_and_what_does_not_fit_is_dropped_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench()
    count = shadow_scorer.MAX_COPIES + 50
    for number in range(count):
        assert bench.answer(request_id=f"r{number}").error is None
    dropped = bench.copies()["dropped"]
    assert dropped in (49, 50)  # the shadow's thread holds one of them, or not yet
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == [
        "copies were not compared"
    ]
    bench.open()
    for _ in range(count - dropped):
        assert bench.topic.arrived.acquire(timeout=30)
    assert until(lambda: bench.copies() == {"dropped": dropped, "compared": count - dropped})


def test_large_images_that_wait_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    image = encoded(size=(64, 64))
    monkeypatch.setattr(shadow_scorer, "MAX_BYTES", 3 * len(image))
    bench = Bench()
    for number in range(10):
        bench.answer(image, request_id=f"r{number}")
    assert bench.copies()["dropped"] in (6, 7)
    bench.open()


def test_a_topic_that_refuses_is_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.open()
    bench.topic.failure = PermissionError("403 not allowed to publish")
    for number in range(5):
        bench.answer(request_id=f"r{number}")
    for _ in range(5):
        assert bench.topic.arrived.acquire(timeout=10)
    assert until(lambda: bench.copies() == {"failed": 5})
    lines: list[Any] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [(line.message, line.reason) for line in lines] == [
        ("copies were not compared", "403 not allowed to publish")
    ]


def test_a_shadow_that_fails_changes_no_answer_and_says_so_in_the_comparison(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.open()
    bench.engines[0].failure = RuntimeError("broken")
    assert bench.answer().error is None
    assert bench.topic.arrived.acquire(timeout=10)
    bench.engines[0].failure = None
    assert bench.answer(request_id="r2").error is None
    assert bench.topic.arrived.acquire(timeout=10)
    failed, scored = bench.topic.published
    assert failed.shadow.error == Error("unavailable", "the shadow failed: broken") and failed.shadow.model == SHADE
    assert (scored.request_id, scored.shadow.error) == ("r2", None)
    assert until(lambda: bench.copies() == {"compared": 2})
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == ["a shadow failed"]


def test_a_copy_that_waits_until_its_request_has_expired_still_compares() -> None:
    bench = Bench()
    now = datetime.now(UTC)
    bench.pipeline = dataclasses.replace(bench.pipeline, now=lambda: now)
    expires = now + timedelta(seconds=1)
    for request_id in ("r1", "r2"):  # the first one keeps the shadow busy
        assert bench.answer(request_id=request_id, expires_at=expires.isoformat()).error is None
    now = expires + timedelta(seconds=1)
    bench.open()
    for _ in range(2):
        assert bench.topic.arrived.acquire(timeout=10)
    assert [each.shadow.error for each in bench.topic.published] == [None, None]


def test_an_image_that_is_gone_meanwhile_is_no_failure_of_the_shadow() -> None:
    bench = Bench()
    objects = bench.pipeline.objects
    assert isinstance(objects, MemoryObjects)
    objects.objects[uri := "gs://bucket/image.png"] = encoded()
    reference = json.dumps({"image_uri": uri}).encode()
    assert bench.answer(reference).error is None
    image = objects.objects.pop(uri)
    bench.open()
    assert until(lambda: bench.copies() == {"failed": 1})
    objects.objects[uri] = image
    assert bench.answer(reference, request_id="r2").error is None
    assert bench.topic.arrived.acquire(timeout=10)
    assert [each.request_id for each in bench.topic.published] == ["r2"]


def test_a_topic_that_hangs_holds_a_bounded_number_of_comparisons() -> None:
    bench = Bench()
    bench.open()
    hanging: list[Future[str]] = []
    count = shadow_scorer.MAX_COPIES + 20

    def hang(comparison: Comparison) -> Future[str]:
        hanging.append(Future())
        return hanging[-1]

    bench.scorer._publish = hang
    for number in range(count):
        assert bench.answer(request_id=f"r{number}").error is None
    assert until(lambda: len(hanging) == shadow_scorer.MAX_COPIES, 60)
    assert bench.copies() == {"dropped": 20}
    for future in hanging:
        future.set_result("1")
    bench.answer(request_id="again")
    assert until(lambda: len(hanging) == shadow_scorer.MAX_COPIES + 1)


def test_without_a_thread_for_shadows_the_answer_comes_and_a_later_copy_tries_again() -> None:
    bench = Bench()
    bench.open()
    failures = [RuntimeError("can't start new thread")]

    def start_later(name: str, run: Callable[[], None]) -> threading.Thread:
        if failures:
            raise failures.pop()
        return start(name, run)

    bench.scorer._start = start_later
    assert bench.answer().error is None
    assert bench.copies() == {"dropped": 1}
    bench.answer(request_id="r2")
    assert bench.topic.arrived.acquire(timeout=10)


def test_an_error_response_is_not_copied() -> None:
    bench = Bench()
    bench.open()
    assert bench.answer(b"not an image").error
    assert bench.answer(request_id="r2").error is None
    assert bench.topic.arrived.acquire(timeout=10)
    assert [each.request_id for each in bench.topic.published] == ["r2"]
