"""References: JSON is JSON however it begins (RFC 8259), and each of its fields counts or is refused by name."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from functions.messages.contract import Envelope, ObjectRef, RequestOptions
from functions.messages.request_decoder import FIELDS, JSON_BYTES, decode
from functions.messages.trace_context import TraceContext
from tests.decoding import rejection, requested

URI = "gs://bucket/a"
REFERENCE = b'{"image_uri": "gs://bucket/a"}'
BOM = b"\xef\xbb\xbf"
TRACE = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"
VALUES: dict[str, Any] = {
    "request_id": "r1",
    "filename": "a.png",
    "reply_to": "me",
    "top_k": 3,
    "model": "fashion-mnist",
    "expires_at": "2026-11-21T09:30:00Z",
    "explain": True,
    "features": True,
    "traceparent": TRACE,
}


def reference(**fields: object) -> Envelope:
    return Envelope("m1", json.dumps({"image_uri": URI, **fields}).encode())


@pytest.mark.parametrize("before", [b"", b"\n", b" ", b"\t", b"\r\n", b" \n\r\t " * 99, BOM, BOM + b"\n "])
@pytest.mark.parametrize("after", [b"", b"\n", b"\r\n \t"])
def test_white_space_and_a_byte_order_mark_do_not_matter(before: bytes, after: bytes) -> None:
    assert requested(Envelope("m", before + REFERENCE + after)).image == ObjectRef("bucket", "a")
    assert rejection(Envelope("m", before + b'{"image": 1}' + after)).startswith(
        "the message is JSON without image_uri"
    )


@pytest.mark.parametrize("payload", [b"", b"\n", BOM, BOM + b" \r\n\t"])
def test_a_message_of_white_space_is_empty(payload: bytes) -> None:
    assert rejection(Envelope("m", payload)).startswith("the message is empty")


@pytest.mark.parametrize("space", [b"\x0b", b"\x0c", b"\xa0", b"\0", b" " + BOM])
def test_other_characters_are_not_white_space_of_json(space: bytes) -> None:
    assert requested(Envelope("m", space + REFERENCE)).image == space + REFERENCE, "it is no JSON, so the image"


def test_the_payload_of_an_image_is_not_copied() -> None:
    payload = b"\x89PNG\r\n\x1a\n" + bytes(1000)
    assert requested(Envelope("m", payload)).image is payload


def test_white_space_counts_against_the_limit_of_json() -> None:
    assert requested(Envelope("m", REFERENCE.rjust(JSON_BYTES))).image == ObjectRef("bucket", "a")
    assert "JSON of 200,001 bytes; at most 200,000 are read" in rejection(
        Envelope("m", REFERENCE.rjust(JSON_BYTES + 1))
    )


@pytest.mark.parametrize(
    "payload",
    [
        b"{",
        b"{'image_uri': 'gs://bucket/a'}",
        b"{image_uri: a}",
        REFERENCE + b"x",
        REFERENCE * 2,
        b'{"a": \xff}',
        b"{" * 99,
        b'{"a":' * 30_000,
        b'{"image_uri": ' + b"9" * 5000 + b"}",
    ],
)
def test_what_begins_like_json_and_is_none_is_refused(payload: bytes) -> None:
    assert rejection(Envelope("m", payload)).startswith(
        "the message begins with { but is not JSON; it must be an image"
    )


def test_the_fields_are_those_of_this_test() -> None:
    assert set(VALUES) == set(FIELDS)


@pytest.mark.parametrize("as_text", [False, True], ids=["typed", "text"])
def test_every_option_in_json_counts(as_text: bool) -> None:
    text = {name: value if isinstance(value, str) else json.dumps(value) for name, value in VALUES.items()}
    request = requested(reference(**(text if as_text else VALUES)))
    assert (request.request_id, request.reply_to, request.source.filename) == ("r1", "me", "a.png")
    assert request.trace == TraceContext.parse(TRACE)
    assert request.options == RequestOptions(3, "fashion-mnist", datetime(2026, 11, 21, 9, 30, tzinfo=UTC), True, True)


def test_an_attribute_takes_precedence() -> None:
    attributes = {
        "request_id": "r2",
        "filename": "b.png",
        "reply_to": "you",
        "top_k": "4",
        "model": "other",
        "expires_at": "2027-11-21T09:30:00Z",
        "explain": "false",
        "features": "false",
        "traceparent": TRACE.replace("2", "3"),
    }
    assert set(attributes) == set(FIELDS)
    alone = requested(Envelope("m1", REFERENCE, attributes))
    assert requested(Envelope("m1", reference(**VALUES).payload, attributes)) == alone


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"top_k": 0}, "top_k is '0'; it must be a whole number from 1 to 100"),
        ({"top_k": "many"}, "top_k is 'many'; it must be"),
        ({"top_k": 3.0}, "top_k is '3.0'; it must be"),
        ({"top_k": True}, "top_k is 'true'; it must be"),
        ({"top_k": None}, "top_k is 'null'; it must be"),
        ({"top_k": [3]}, "top_k is '[3]'; it must be"),
        ({"expires_at": "tomorrow"}, "expires_at is 'tomorrow'; it must be a time"),
        ({"expires_at": 1763717400}, "expires_at is '1763717400'; it must be a time"),
        ({"explain": "yes"}, "explain is 'yes'; it must be true or false"),
        ({"reply_to": "i" * 257}, "reply_to is 257 bytes; at most 256 are allowed"),
        ({"request_id": "i" * 257}, "request_id is 257 bytes; at most 256 are allowed"),
        ({"reply_to": None}, "reply_to is 'null'; it must be text"),
        ({"request_id": {"a": 1}}, "request_id is '{\"a\": 1}'; it must be text"),
        ({"filename": ["a"]}, "filename is '[\"a\"]'; it must be text"),
        (
            {"topk": 3},
            "the JSON has the field 'topk'; allowed are image_uri, request_id, filename, reply_to, top_k, model",
        ),
        ({"Top_K": 3}, "the JSON has the field 'Top_K'; allowed are image_uri"),
        ({"size": "9"}, "the JSON has the field 'size'; allowed are image_uri"),
    ],
)
def test_a_wrong_field_is_refused_by_name(fields: dict[str, object], said: str) -> None:
    reason = rejection(reference(**fields))
    assert reason.startswith(said) and len(reason) <= 300


@pytest.mark.parametrize(
    "body",
    [
        '{"image_uri": "gs://bucket/a", "image_uri": "gs://bucket/b"}',
        '{"image_uri": "gs://bucket/a", "image_uri": "gs://bucket/a"}',
        '{"top_k": 1, "image_uri": "gs://bucket/a", "top_k": 2}',
    ],
)
def test_a_field_that_is_stated_twice_is_refused(body: str) -> None:
    assert rejection(Envelope("m", body.encode())).endswith("is stated twice; it must be stated once")


@pytest.mark.parametrize("wrong", [{"image_uri": "http://host/a"}, {"top_k": 0}, {"topk": 1}, {"image_uri": None}])
def test_a_refusal_reaches_the_sender_that_the_json_names(wrong: dict[str, object]) -> None:
    decoded = decode(reference(**{**VALUES, **wrong}))
    assert (decoded.request_id, decoded.reply_to, decoded.source.filename) == ("r1", "me", "a.png")
    without = decode(Envelope("m1", json.dumps({"image": "iVBOR", **VALUES}).encode()))
    assert (without.request_id, without.reply_to) == ("r1", "me")


def test_a_number_may_be_a_request_id() -> None:
    assert requested(reference(request_id=7)).request_id == "7"


def test_lone_surrogates_in_json_are_replaced() -> None:
    request = requested(
        Envelope("m", b'{"image_uri": "gs://bucket/a", "reply_to": "\\ud800", "request_id": "a\\udfff"}')
    )
    assert (request.reply_to, request.request_id) == ("?", "a?")


def test_the_filename_in_the_metadata_of_an_upload_counts() -> None:
    about = {"eventType": "OBJECT_FINALIZE", "bucketId": "uploads", "objectId": "a", "objectGeneration": "1"}
    resource = b'\n {"size": "9", "metadata": {"filename": "shoe.png", "request_id": "evil"}}'
    for payload in (resource, BOM + resource.lstrip()):
        request = requested(Envelope("m", payload, about))
        assert (request.source.filename, request.request_id) == ("shoe.png", "uploads/a#1")


@pytest.mark.parametrize("text", ["2026-11-21t09:30:00z", "2026-11-21T09:30:00z", "2026-11-21t10:30:00+01:00"])
def test_a_time_may_be_in_lower_case(text: str) -> None:
    """RFC 3339, section 5.6."""
    moment = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
    assert requested(Envelope("m", b"x", {"expires_at": text})).options.expires_at == moment
