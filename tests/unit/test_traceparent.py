"""W3C trace context: valid values are read, others are ignored, and messages carry it."""

from __future__ import annotations

import pytest

from functions.messages.contract import Envelope, Response, decode_response, encode_response, response_attributes
from functions.messages.event_decoder import from_http
from functions.messages.request_decoder import decode
from functions.messages.trace_context import TraceContext

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GIVEN = f"00-{TRACE}-{SPAN}-01"
OTHER = f"00-{'1' * 32}-{'2' * 16}-00"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (GIVEN, TraceContext(TRACE, SPAN, True)),
        (f"00-{TRACE}-{SPAN}-00", TraceContext(TRACE, SPAN, False)),
        (f"00-{TRACE}-{SPAN}-03", TraceContext(TRACE, SPAN, True)),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", TraceContext(TRACE, SPAN, True)),
        (f"cc-{TRACE}-{SPAN}-01.what", None),
        (f"00-{TRACE}-{SPAN}-01-", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE[1:]}-{SPAN}-01", None),
        (f" {GIVEN}", None),
        (f"{GIVEN}\n", None),
        ("", None),
        ("x" * 100_000, None),
    ],
)
def test_valid_traceparents_are_read(text: str, read: TraceContext | None) -> None:
    assert TraceContext.parse(text) == read


def test_a_written_traceparent_is_read() -> None:
    for trace in (TraceContext.begin(), TraceContext(TRACE, SPAN), TraceContext(TRACE, SPAN, True)):
        assert TraceContext.parse(trace.header) == trace
        assert TraceContext.of(trace.attributes) == trace
    assert TraceContext.begin().trace_id != TraceContext.begin().trace_id


def test_googles_attribute_takes_precedence() -> None:
    assert TraceContext.of({"traceparent": OTHER, "googclient_traceparent": GIVEN}) == TraceContext.parse(GIVEN)
    assert TraceContext.of({"traceparent": OTHER, "googclient_traceparent": "?"}) == TraceContext.parse(OTHER)


def traced(envelope: Envelope) -> TraceContext | None:
    return decode(envelope).trace


def test_an_uploads_trace_is_in_the_objects_metadata() -> None:
    about = {"eventType": "OBJECT_FINALIZE", "bucketId": "b", "objectId": "o", "traceparent": OTHER}
    with_metadata = Envelope("m", b'{"metadata": {"traceparent": "%s"}}' % GIVEN.encode(), about)
    assert traced(with_metadata) == TraceContext.parse(GIVEN)
    assert traced(Envelope("m", b"{}", about)) == TraceContext.parse(OTHER)


@pytest.mark.parametrize("header", ["traceparent", "ce-traceparent"])
def test_a_delivery_without_a_trace_gets_a_new_one(header: str) -> None:
    body = b'{"message": {"data": "eA==", "messageId": "m", "attributes": %s}}'
    assert traced(from_http({header: OTHER}, body % b"{}")) == TraceContext.parse(OTHER)
    for name in ("traceparent", "googclient_traceparent"):
        given = b'{"%s": "%s"}' % (name.encode(), GIVEN.encode())
        assert traced(from_http({header: OTHER}, body % given)) == TraceContext.parse(GIVEN)
    assert traced(from_http({}, body % b"{}")) is None


def test_a_response_carries_the_trace_in_its_attributes() -> None:
    response = Response("r", trace=TraceContext(TRACE, SPAN, True))
    attributes = response_attributes(response)
    assert attributes["traceparent"] == attributes["googclient_traceparent"] == GIVEN
    assert TRACE.encode() not in encode_response(response), "the body is as it was"
    assert decode_response(encode_response(response), attributes).trace == response.trace
    assert decode_response(encode_response(response)).trace is None
