"""One trace from the client to the response, the log and the spans; Google's own clients join it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.cloud import pubsub_v1
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from client.__main__ import main
from functions.messages.trace_context import TraceContext
from infra.local.twin import Delivery, Twin
from tests.log_lines import log_lines
from tests.pubsub_client import PubsubClient
from tests.samples import encoded
from tests.waiting import until

_WORKER_SPAN = '{\n    "name": "answer"'
SAMPLES = Path("client/samples/sneaker.jpg"), Path("client/samples/dress.png")


def ended(twin: Twin) -> list[dict[str, Any]]:
    """The log's lines that say how a request ended."""
    lines = log_lines(twin.log_path)
    return [line for line in lines if "outcome" in line]


@pytest.mark.parametrize("worker", ["push", "pull"])
def test_the_clients_trace_id_finds_the_one_line_of_each_request(
    worker: Delivery,
    shared_twin: Callable[[Delivery], Twin],
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    commands = ["publish", "upload", *(["predict"] if worker == "push" else [])]
    twin = shared_twin(worker)
    for name, value in twin.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(root)
    for command in commands:
        assert main([command, "--json", *map(str, SAMPLES)], {**twin.env}) == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(printed) == len(SAMPLES) * len(commands)
    asked = {answer["request_id"] for answer in printed}

    def lines() -> list[dict[str, Any]]:
        return [line for line in ended(twin) if line["request_id"] in asked]

    assert until(lambda: len(lines()) >= len(printed))
    by_request = {line["request_id"]: line for line in lines()}
    assert len(lines()) == len(by_request) == len(printed), "one line a request"
    for answer in printed:
        line = by_request[answer["request_id"]]
        assert line["logging.googleapis.com/trace"] == f"projects/local/traces/{answer['trace_id']}"
        assert (line["severity"], line["outcome"]) == ("INFO", "ok")
    assert len({answer["trace_id"] for answer in printed}) == len(printed)


def test_googles_clients_join_the_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    worker_env = {"OTEL_TRACES_EXPORTER": "console"}
    with Twin(worker_env=worker_env) as twin:
        for name, value in twin.env.items():
            monkeypatch.setenv(name, value)
        with PubsubClient("local") as pubsub:
            subscription = "projects/local/subscriptions/traced"
            pubsub.subscriber.create_subscription(name=subscription, topic="projects/local/topics/res_predict")
            options = pubsub_v1.types.PublisherOptions(enable_open_telemetry_tracing=True)
            publisher = pubsub_v1.PublisherClient(publisher_options=options)
            topic = "projects/local/topics/req_predict"
            publisher.publish(topic, encoded(), request_id="r1").result(10)
            publisher.stop()
            publisher.transport.close()
            (response,) = pubsub.responses({"r1"})

            traced = pubsub_v1.SubscriberClient(
                subscriber_options=pubsub_v1.types.SubscriberOptions(enable_open_telemetry_tracing=True)
            )
            stream = traced.subscribe(subscription, lambda message: message.ack())
            seen = until(lambda: any(span.name == "traced subscribe" for span in kept.get_finished_spans()))
            stream.cancel()
            stream.result()
            traced.close()
            assert seen
        # The worker exports its span after the delivery is settled.
        assert until(lambda: _WORKER_SPAN in twin.log_path.read_text())
        text = twin.log_path.read_text()
    spans = {span.name: span for span in kept.get_finished_spans()}
    sent, received = spans["req_predict create"], spans["traced subscribe"]
    assert sent.context and received.context and received.parent
    trace_id = trace.format_trace_id(sent.context.trace_id)
    assert isinstance(response.trace, TraceContext) and response.trace.trace_id == trace_id
    assert received.context.trace_id == sent.context.trace_id, "one trace, from publishing to receiving"
    assert trace.format_span_id(received.parent.span_id) == response.trace.span_id, "the receiver follows the worker"
    # The worker's own span, as it was exported with the configured exporter, is between the two.
    answer = json.JSONDecoder().raw_decode(text[text.index(_WORKER_SPAN) :])[0]
    assert answer["context"]["span_id"] == f"0x{response.trace.span_id}"
    assert answer["parent_id"] == f"0x{trace.format_span_id(sent.context.span_id)}"
