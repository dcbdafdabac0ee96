"""The request log: one line and one count a request, in the format of Cloud Logging."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from functions.messages.contract import Envelope
from functions.messages.request_decoder import decode
from functions.messages.trace_context import TraceContext
from functions.observability import request_log
from functions.observability.json_logging import JsonLines
from functions.observability.request_log import NOT_READY, RequestLog
from functions.service.handler import Handler
from tests.fakes import MODEL, BrightnessEngine, MemoryResponses, fake_handler, handle, handle_dead_letter
from tests.samples import encoded
from tests.unit.test_traceparent import GIVEN, SPAN, TRACE


class Log:
    """The captured log output of a process."""

    def __init__(self) -> None:
        self.text = io.StringIO()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.getvalue().splitlines()]


@pytest.fixture
def log() -> Iterator[Log]:
    """The lines of our own loggers, as `configure` has them written."""
    made, ours = Log(), logging.getLogger("functions")
    handler = logging.StreamHandler(made.text)
    handler.setFormatter(JsonLines("shop"))
    level = ours.level
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)
    yield made
    ours.removeHandler(handler)
    ours.setLevel(level)


def test_a_prediction_is_logged(log: Log) -> None:
    handler = fake_handler()
    handle(handler, Envelope("m1", encoded(), {"request_id": "r1", "traceparent": GIVEN}, delivery_attempt=2))
    (line,) = log.lines()
    timings = line.pop("timing_ms")
    assert list(timings) == ["queue", "fetch", "decode", "predict", "total"] and timings["total"] > 0
    assert datetime.fromisoformat(line.pop("time")).tzinfo
    assert line.pop("label") in {"dark", "middle", "light"} and 1 / 3 < line.pop("score") <= 1
    assert line == {
        "severity": "INFO",
        "message": "answered",
        "logger": "functions.observability.request_log",
        "request_id": "r1",
        "model": "fake",
        "version": "1.0.0",
        "outcome": "ok",
        "delivery_attempt": 2,
        "logging.googleapis.com/trace": f"projects/shop/traces/{TRACE}",
        "logging.googleapis.com/spanId": SPAN,
        "logging.googleapis.com/trace_sampled": True,
    }


def test_a_score_is_logged_with_the_usual_score_of_its_label(log: Log) -> None:
    usual = {"dark": 0.75, "middle": None, "light": 0.5}
    handler = fake_handler(request_log=RequestLog())
    sent(handler, encoded(), request_id="unknown")
    handler.request_log.expect(MODEL.digest, usual)
    sent(handler, encoded(), request_id="known")
    sent(handler, b"junk", request_id="none")
    unknown, known, none = log.lines()
    assert 0 < unknown["score"] <= 1 and "expected_score" not in unknown
    assert known["score"] == unknown["score"] and known["expected_score"] == usual[known["label"]] is not None
    assert not {"label", "score", "expected_score"} & none.keys()


def test_a_model_that_answers_keeps_its_expected_scores_however_many_others_are_loaded(log: Log) -> None:
    handler = fake_handler(request_log=RequestLog())
    sent(handler, encoded(), request_id="first")
    label = log.lines()[-1]["label"]
    handler.request_log.expect(MODEL.digest, {label: 0.5})
    for number in range(3 * request_log.MODELS):
        handler.request_log.expect(f"sha256:other-{number}", {})
        sent(handler, encoded(), request_id=f"r{number}")
        assert log.lines()[-1]["expected_score"] == 0.5


def test_without_a_trace_none_is_made_up(log: Log) -> None:
    responses = MemoryResponses()
    handle(fake_handler(responses=responses), Envelope("m1", encoded()))
    assert responses.published[0].trace is None
    assert not [name for name in log.lines()[0] if name.startswith("logging.googleapis.com/")]


def sent(handler: Handler, payload: bytes, **attributes: str) -> bool:
    """Handle one request; returns whether it was acked."""
    return handle(handler, Envelope("m", payload, attributes)).is_acked


def test_every_outcome_is_one_line_and_one_count(log: Log) -> None:
    engine = BrightnessEngine()
    handler = fake_handler(engine=engine, request_log=RequestLog())
    sent(handler, encoded(), request_id="good")
    sent(handler, b"junk", request_id="bad")
    sent(handler, b"", eventType="OBJECT_DELETE", bucketId="b", objectId="o")
    handle_dead_letter(handler, Envelope("m", b"x", {"request_id": "dead"}))
    handler.request_log.malformed("the body is not JSON")
    handler.request_log.refused("no token")
    handler.request_log.nacked(None, TimeoutError("no keys"))
    handler.request_log.cancelled(decode(Envelope("m", b"x", {"request_id": "unbegun"})))
    engine.failure = RuntimeError("secret detail")
    assert not sent(handler, encoded(), request_id="again", traceparent=GIVEN)
    logged = [(line["severity"], line["outcome"], line.get("code"), line.get("request_id")) for line in log.lines()]
    assert logged == [
        ("INFO", "ok", None, "good"),
        ("WARNING", "error", "invalid_image", "bad"),
        ("INFO", "ignored", None, "b/o#0"),
        ("ERROR", "error", "unavailable", "dead"),
        ("WARNING", "malformed", None, None),
        ("WARNING", "refused", None, None),
        ("ERROR", "nacked", "unavailable", None),
        ("INFO", "nacked", None, "unbegun"),
        ("ERROR", "nacked", "unavailable", "again"),
    ]
    last = log.lines()[-1]
    assert "secret detail" in last["exception"] and last["logging.googleapis.com/trace"].endswith(TRACE)
    counts = handler.request_log.counts()
    assert counts["outcomes"] == {"ok": 1, "error": 2, "ignored": 1, "nacked": 3, "malformed": 1, "refused": 1}
    assert counts["codes"] == {"invalid_image": 1, "unavailable": 3}


def test_hostile_text_stays_in_one_line(log: Log) -> None:
    nasty = 'x"}\n{"severity":"ERROR\u2028\x00'
    sent(fake_handler(), b"junk", request_id=nasty)
    (line,) = log.lines()
    assert line["request_id"] == nasty and line["severity"] == "WARNING"


def test_a_trace_without_a_project_is_logged_as_its_id() -> None:
    record = logging.makeLogRecord({"trace": TraceContext.parse(GIVEN)})
    assert json.loads(JsonLines().format(record))["logging.googleapis.com/trace"] == TRACE


def test_failures_of_the_worker_in_a_row_make_it_not_ready_until_a_request_succeeds() -> None:
    engine = BrightnessEngine()
    handler = fake_handler(engine=engine)
    ready = handler.request_log.why_not_ready
    engine.failure = RuntimeError("broken")
    for number in range(NOT_READY - 1):
        sent(handler, encoded(size=(9, number + 1)))
    assert not ready()
    sent(handler, b"no image")  # an answer: the worker works, and the sender does not
    for number in range(NOT_READY):
        assert not ready()
        sent(handler, encoded(size=(10, number + 1)))
    assert ready() == f"the last {NOT_READY} requests failed for a reason of the worker's"
    handle_dead_letter(handler, Envelope("m1", encoded(), {"request_id": "dead"}))
    assert ready(), "a dead letter was answered without the model"
    engine.failure = None
    sent(handler, encoded())
    assert not ready()
