"""Events: every format in which a message may arrive becomes the same envelope."""

from __future__ import annotations

import base64
import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.errors import InvalidRequest
from functions.messages.contract import Envelope, ObjectRef
from functions.messages.event_decoder import MAX_COMMAS, PUBSUB_EVENT, STORAGE_EVENT, from_http
from tests.decoding import ignored, requested
from tests.fakes import fake_handler, respond

PUSH = {
    "subscription": "projects/p/subscriptions/s",
    "deliveryAttempt": 3,
    "message": {
        "data": base64.b64encode(b"image").decode(),
        "attributes": {"request_id": "r1"},
        "messageId": "m1",
        "message_id": "m1",
        "publishTime": "2026-11-21T09:30:00.123456789Z",
    },
}
RESOURCE = {"bucket": "b-1", "name": "x/y.png", "generation": "5", "size": "9", "updated": "2026-11-21T09:30:00Z"}


def body(value: Any) -> bytes:
    return json.dumps(value).encode()


def structured(kind: str, data: Any) -> Envelope:
    event = {"specversion": "1.0", "type": kind, "id": "e1", "source": "//s", "data": data}
    return from_http({"Content-Type": "application/cloudevents+json; charset=utf-8"}, body(event))


def binary(kind: str, data: Any) -> Envelope:
    return from_http({"ce-type": kind, "ce-id": "e1", "Content-Type": "application/json"}, body(data))


def test_push_keeps_what_retries_need() -> None:
    envelope = from_http({"Content-Type": "application/json"}, body(PUSH))
    assert envelope == Envelope(
        "m1", b"image", {"request_id": "r1"}, datetime(2026, 11, 21, 9, 30, 0, 123456, UTC), delivery_attempt=3
    )


def test_a_cloud_event_of_pubsub_is_the_same_envelope() -> None:
    pushed = from_http({}, body(PUSH))
    assert structured(PUBSUB_EVENT, PUSH) == binary(PUBSUB_EVENT, PUSH) == pushed


def test_data_may_be_base64_in_a_structured_event() -> None:
    event = {"type": PUBSUB_EVENT, "id": "e1", "data_base64": base64.b64encode(body(PUSH)).decode()}
    assert from_http({"Content-Type": "application/cloudevents+json"}, body(event)).payload == b"image"


def test_a_message_without_data_or_attributes() -> None:
    envelope = from_http({}, body({"message": {"messageId": "m1"}}))
    assert (envelope.payload, envelope.attributes, envelope.delivery_attempt) == (b"", {}, 0)


def test_a_cloud_event_of_storage_is_a_notification() -> None:
    envelope = structured(STORAGE_EVENT + "finalized", RESOURCE)
    assert envelope == binary(STORAGE_EVENT + "finalized", RESOURCE)
    assert requested(envelope).image == ObjectRef("b-1", "x/y.png", 5, 9)
    assert ignored(envelope) is None
    assert ignored(structured(STORAGE_EVENT + "deleted", RESOURCE)) == "event OBJECT_DELETE"
    assert ignored(structured(STORAGE_EVENT + "metadataUpdated", RESOURCE)) == "event metadataUpdated"


@pytest.mark.parametrize(
    "media_type",
    [
        "Application/CloudEvents+JSON",
        " application/cloudevents+json ; charset=UTF-8",
        "APPLICATION/CLOUDEVENTS+JSON;charset=utf-8",
    ],
)
def test_the_case_of_a_media_type_does_not_matter(media_type: str) -> None:
    """RFC 9110, section 8.3.1."""
    event = {"specversion": "1.0", "type": STORAGE_EVENT + "finalized", "id": "e1", "source": "//s", "data": RESOURCE}
    assert requested(from_http({"Content-Type": media_type}, body(event))).image == ObjectRef("b-1", "x/y.png", 5, 9)


@pytest.mark.parametrize("before", [b"\n", b" \t\r\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
def test_white_space_and_a_byte_order_mark_before_an_event_do_not_matter(before: bytes) -> None:
    assert from_http({}, before + body(PUSH)) == from_http({}, body(PUSH))
    event = {"specversion": "1.0", "type": STORAGE_EVENT + "finalized", "id": "e1", "data": RESOURCE}
    headers = {"Content-Type": "application/cloudevents+json"}
    assert from_http(headers, before + body(event)) == from_http(headers, body(event))
    headers = {"ce-type": STORAGE_EVENT + "finalized", "ce-id": "e1"}
    assert from_http(headers, before + body(RESOURCE)) == from_http(headers, body(RESOURCE))


@pytest.mark.parametrize(
    ("headers", "data", "words"),
    [
        ({}, b"", "not JSON"),
        ({}, b"\xff", "not JSON"),
        ({}, b"[" * 100_000, "not JSON"),
        ({}, b"[]", "push body is missing or not an object"),
        ({}, b"{}", "message is missing"),
        ({}, b'{"message": 1}', "message is missing"),
        ({}, b'{"message": {"attributes": []}}', None),
        ({}, b'{"message": {"attributes": [1]}}', r"message\.attributes is"),
        ({}, b'{"message": {"data": "%%%"}}', r"message\.data is not base64"),
        ({}, b'{"message": {"data": 7}}', r"message\.data is not base64"),
        ({"ce-type": "other"}, b"{}", "event's type is 'other'"),
        ({"ce-type": STORAGE_EVENT + "finalized"}, b'{"name": "x"}', "lacks bucket or name"),
        ({"ce-type": STORAGE_EVENT + "finalized"}, b"null", "data is missing"),
        ({"Content-Type": "application/cloudevents+json"}, b"{}", "event's type is ''"),
    ],
)
def test_malformed_events_are_named(headers: dict[str, str], data: bytes, words: str | None) -> None:
    if words is None:
        assert from_http(headers, data).attributes == {}
        return
    with pytest.raises(InvalidRequest, match=words):
        from_http(headers, data)


@pytest.mark.parametrize("item", ["[]", "{}", "1.5"])
def test_an_event_of_millions_of_parts_is_not_read(item: str) -> None:
    """Each part becomes a Python object: 15 MB of JSON take 400 MB."""
    parts = ",".join([item] * (MAX_COMMAS + 2))
    with pytest.raises(InvalidRequest, match="the body has 200,001 commas; at most 200,000 are allowed"):
        from_http({}, f'{{"message": {{"x": [{parts}]}}}}'.encode())


def test_an_object_that_is_nested_too_deeply_is_refused() -> None:
    """An object near the recursion limit can be parsed but not serialised."""
    refused = set()
    for depth in range(1, sys.getrecursionlimit()):
        resource = f'{{"bucket": "b", "name": "o", "x": {"[" * depth}{"]" * depth}}}'
        try:
            from_http({"ce-type": STORAGE_EVENT + "finalized", "ce-id": "e1"}, resource.encode())
        except InvalidRequest as exc:
            refused.add(str(exc))
    assert "the body is nested too deeply" in refused


def test_attributes_may_be_full_of_commas() -> None:
    """The maximum number and length of attributes in Pub/Sub."""
    attributes = {f"a{number}": "," * 1024 for number in range(100)}
    assert from_http({}, body({"message": {"attributes": attributes}})).attributes == attributes


@pytest.mark.parametrize(
    "time", ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "2026-11-21T09:30:00", "", 7]
)
def test_a_publish_time_outside_the_range_of_utc_is_dropped(time: object) -> None:
    envelope = from_http({}, body({"message": {"messageId": "m", "publishTime": time}}))
    assert envelope.published_at is None
    expired = {"expires_at": "2020-01-01T00:00:00Z"}
    response = respond(fake_handler(), replace(envelope, payload=b"image", attributes=expired))
    assert response.error and response.error.code == "expired"


def test_lone_surrogates_are_replaced() -> None:
    envelope = from_http({}, b'{"message": {"messageId": "\\ud800", "attributes": {"request_id": "a\\udfffb"}}}')
    assert envelope.id == "?" and envelope.attributes == {"request_id": "a?b"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
messages = st.fixed_dictionaries(
    {},
    optional={"data": json_values, "attributes": json_values, "messageId": json_values, "publishTime": json_values},
)


@given(
    st.sampled_from(["", PUBSUB_EVENT, STORAGE_EVENT + "finalized"]),
    st.fixed_dictionaries({"message": messages}, optional={"deliveryAttempt": json_values, "bucket": json_values}),
)
def test_any_event_is_read_or_refused(kind: str, data: dict[str, Any]) -> None:
    try:
        envelope = from_http({"ce-type": kind}, body(data))
    except InvalidRequest as exc:
        assert str(exc)
        return
    assert envelope.id
    assert all(isinstance(value, str) for value in envelope.attributes.values())
