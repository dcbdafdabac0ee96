"""Spans: none without an exporter; otherwise complete, in the sender's trace, and sent before a request ends."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from functions.messages.contract import Envelope, Response, Timing
from functions.observability.spans import FLUSH_S, Spans, spans
from functions.settings import SettingsError
from tests.fakes import MemoryResponses, fake_handler, handle
from tests.samples import encoded
from tests.unit.test_traceparent import GIVEN, SPAN, TRACE
from tests.waiting import until

collected = InMemorySpanExporter()


@pytest.fixture(autouse=True)
def nothing_collected() -> None:
    collected.clear()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Spans:
    """Spans for an exporter that is installed, as OpenTelemetry's own and other people's are."""
    here = EntryPoint("memory", f"{__name__}:exporter", "opentelemetry_traces_exporter")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: EntryPoints([here]))
    return Spans("memory")


def exporter() -> InMemorySpanExporter:
    return collected


def exported() -> dict[str, dict[str, Any]]:
    return {span.name: json.loads(span.to_json()) for span in collected.get_finished_spans()}


def test_no_spans_without_an_exporter() -> None:
    assert spans("none") is None
    with pytest.raises(SettingsError, match=r"OTEL_TRACES_EXPORTER is 'x'; .* installed: console, .*none"):
        spans("x")


def test_an_exporter_that_cannot_start_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    here = EntryPoint("half", "no.such.module:exporter", "opentelemetry_traces_exporter")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: EntryPoints([here]))
    with pytest.raises(SettingsError, match=r"is 'half', which cannot start: No module named 'no'"):
        spans("half")


def test_a_request_is_a_span_of_the_senders_trace(made: Spans) -> None:
    responses = MemoryResponses()
    handle(
        fake_handler(responses=responses, spans=made),
        Envelope("m", encoded(), {"request_id": "r", "googclient_traceparent": GIVEN}),
    )
    # No shutdown and no waiting: it is out when the request is over.
    found = exported()
    assert list(found) == ["decode", "predict", "answer"]
    answer = found["answer"]
    assert (answer["context"]["trace_id"], answer["parent_id"]) == (f"0x{TRACE}", f"0x{SPAN}")
    assert (answer["attributes"]["request_id"], answer["attributes"]["outcome"]) == ("r", "ok")
    assert answer["resource"]["attributes"]["service.name"] == "prediction-worker"
    for stage in ("decode", "predict"):
        assert found[stage]["parent_id"] == answer["context"]["span_id"]
        assert answer["start_time"] <= found[stage]["start_time"] <= found[stage]["end_time"] <= answer["end_time"]
    trace = responses.published[0].trace
    assert trace is not None and trace.sampled
    assert (f"0x{trace.trace_id}", f"0x{trace.span_id}") == (f"0x{TRACE}", answer["context"]["span_id"])


def test_stages_whose_rounded_times_exceed_the_total_end_within_it(made: Spans) -> None:
    made.record(None, Response("r", timing_ms=Timing(decode=0.3, predict=0.3, total=0.5)))
    made.flush()
    found = exported()
    assert found["decode"]["end_time"] == found["predict"]["start_time"]
    assert found["predict"]["end_time"] == found["answer"]["end_time"]


def test_an_unsampled_trace_is_not_recorded(made: Spans) -> None:
    responses = MemoryResponses()
    attributes = {"traceparent": GIVEN[:-1] + "0"}
    handle(fake_handler(responses=responses, spans=made), Envelope("m", encoded(), attributes))
    assert exported() == {}
    trace = responses.published[0].trace
    assert trace is not None and (trace.trace_id, trace.sampled) == (TRACE, False)


def test_without_a_sender_a_new_trace_begins(made: Spans) -> None:
    responses = MemoryResponses(failure=TimeoutError("no broker"))
    assert not handle(fake_handler(responses=responses, spans=made), Envelope("m", encoded())).is_acked
    assert exported()["answer"]["parent_id"] is None, "sent though the request failed"


class StuckExporter(InMemorySpanExporter):
    """An exporter whose export blocks until `wake` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.wake = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.wake.wait(30)
        return super().export(spans)


@pytest.mark.timing
def test_a_stuck_exporter_does_not_block_requests(
    made: Spans, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stuck = StuckExporter()
    monkeypatch.setattr(f"{__name__}.collected", stuck)
    handler = fake_handler(spans=Spans("memory"))
    took = []
    for number in range(3):
        began = time.monotonic()
        handle(handler, Envelope(f"m{number}", encoded()))
        took.append(time.monotonic() - began)
    assert FLUSH_S <= took[0] < FLUSH_S + 3 and max(took[1:]) < FLUSH_S / 2, took
    assert [record.getMessage() for record in caplog.records if "spans could not be sent" in record.getMessage()]
    stuck.wake.set()
    assert until(lambda: len(stuck.get_finished_spans()) >= 3), "what was recorded is not lost"
