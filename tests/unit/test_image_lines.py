"""Messages with several images: what the decoder reads, what it rejects, and the lists that answer them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from functions.messages import response_list
from functions.messages.contract import (
    ID_LIMIT,
    KIND,
    MAX_LINES,
    Envelope,
    ObjectRef,
    Rejected,
    Request,
    RequestOptions,
    Response,
    decode_response,
    encode_response,
    response_attributes,
)
from functions.messages.image_lines import decode_lines, encode_line, has_lines
from functions.messages.request_decoder import LINES_TYPE, decode
from functions.messages.response_list import LIST_BYTES, decode_responses, encode_list, encode_lists, list_attributes
from functions.messages.trace_context import TraceContext
from tests.samples import encoded
from tests.unit.test_response_schema import OK, answered, refused

SCHEMAS = Path(__file__).parents[2] / "infra" / "schemas"
SCHEMA = Draft202012Validator(
    json.loads((SCHEMAS / "response_batch.json").read_text()),
    registry=Registry().with_resource(
        "response.json", Resource.from_contents(json.loads((SCHEMAS / "response.json").read_text()))
    ),
)
IMAGE = encoded()
TRACE = TraceContext.begin()


def envelope(*lines: bytes | dict[str, Any], **attributes: str) -> Envelope:
    texts = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    return Envelope("m1", b"\n".join(texts), {"content_type": LINES_TYPE, **attributes}, delivery_attempt=2)


def requests(*lines: bytes | dict[str, Any], **attributes: str) -> list[Request | Rejected]:
    found = decode_lines(envelope(*lines, **attributes))
    assert isinstance(found, list), found
    return found


def line(request_id: str = "a", image: bytes = IMAGE) -> dict[str, Any]:
    return {"request_id": request_id, "image": base64.b64encode(image).decode()}


@given(
    st.lists(
        st.tuples(
            st.text(min_size=1, max_size=ID_LIMIT // 4),
            st.binary(min_size=1, max_size=99)
            | st.builds(ObjectRef, st.just("photos"), st.from_regex(r"[a-z]{1,9}\Z")),
            st.text(max_size=20),
        ),
        min_size=1,
        max_size=MAX_LINES,
        unique_by=lambda each: each[0],
    )
)
def test_what_is_encoded_is_decoded(given: list[tuple[str, bytes | ObjectRef, str]]) -> None:
    sent = envelope(*(encode_line(*each) for each in given), top_k="3", reply_to="desk", **TRACE.attributes)
    assert has_lines(sent.attributes)
    found = decode_lines(sent)
    assert isinstance(found, list) and len(found) == len(given)
    for request, (request_id, image, filename) in zip(found, given, strict=True):
        assert isinstance(request, Request)
        assert (request.request_id, request.image) == (request_id, image)
        assert request.source.filename == (filename or None)
        assert request.source.image_uri == (image.uri if isinstance(image, ObjectRef) else None)
        assert (request.options, request.reply_to, request.trace) == (RequestOptions(top_k=3), "desk", TRACE)
        assert (request.message_id, request.delivery_attempt) == ("m1", 2)


def test_a_line_is_the_same_request_as_a_message_of_its_own() -> None:
    attributes = {"top_k": "2", "model": "clothing", "explain": "true", "expires_at": "2030-01-01T00:00:00Z"}
    alone = decode(Envelope("m1", IMAGE, {**attributes, "request_id": "a"}, delivery_attempt=2))
    assert requests(line(), **attributes) == [alone]
    by_reference = decode(Envelope("m1", b'{"image_uri": "gs://photos/a#3", "request_id": "b"}', delivery_attempt=2))
    assert requests({"request_id": "b", "image_uri": "gs://photos/a#3"}) == [by_reference]


@pytest.mark.parametrize(
    "text",
    [b"\xef\xbb\xbf%s\n", b"%s\r\n", b"\n\n \r\n%s\n\n"],
    ids=["a byte order mark", "line breaks of Windows", "empty lines"],
)
def test_the_white_space_around_lines_does_not_matter(text: bytes) -> None:
    assert requests(text % encode_line("a", IMAGE)) == requests(encode_line("a", IMAGE))


def test_a_line_may_have_a_trace_of_its_own() -> None:
    own = TraceContext.begin()
    found = requests({**line("a"), "traceparent": own.header}, line("b"), **TRACE.attributes)
    assert [request.trace for request in found] == [own, TRACE]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"image": "not base64"}, "image is 'not base64'; it must be the base64 of an image file"),
        ({"image": 3}, "image is '3'; it must be the base64 of an image file"),
        ({"image": ""}, "image is empty; it must be the base64 of an image file"),
        ({"image": "é"}, "image is 'é'; it must be the base64 of an image file"),
        ({}, "the line has neither image nor image_uri"),
        ({"image": "aGk=", "image_uri": "gs://photos/a"}, "the line has both image and image_uri"),
        ({"image_uri": "photos/a"}, "image_uri is 'photos/a'; it must look like gs://bucket/object"),
        ({"image_uri": ["gs://photos/a"]}, "image_uri is '[\"gs://photos/a\"]'; it must look like"),
        ({"image": "aGk=", "top_k": 3}, "the line has the field 'top_k'; allowed are request_id, image, image_uri"),
        ({"image": "aGk=", "filename": 3}, "filename is '3'; it must be text"),
        ({"image": "aGk=", "request_id": "x" * 257}, "request_id is 257 bytes; at most 256 are allowed"),
    ],
)
def test_a_bad_line_is_rejected_alone(bad: dict[str, Any], reason: str) -> None:
    first, rejected, last = requests(line("first"), {"request_id": "bad", **bad}, line("last"), reply_to="desk")
    assert isinstance(first, Request) and isinstance(last, Request)
    assert isinstance(rejected, Rejected) and rejected.reason.startswith(reason)
    assert rejected.reply_to == "desk" and len(rejected.request_id) <= ID_LIMIT


@pytest.mark.parametrize(
    ("attribute", "value", "reason"),
    [
        ("top_k", "900", "top_k is '900'; it must be a whole number from 1 to 100"),
        ("explain", "yes", "explain is 'yes'; it must be true or false"),
        ("reply_to", "x" * 257, "reply_to is 257 bytes; at most 256 are allowed"),
    ],
)
def test_a_wrong_option_of_the_message_rejects_each_image(attribute: str, value: str, reason: str) -> None:
    found = requests(line("a"), line("b"), **{attribute: value})
    assert [(each.request_id, each.reason) for each in found if isinstance(each, Rejected)] == [
        ("a", reason),
        ("b", reason),
    ]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([b""], "the message has no line; each image needs one"),
        ([b" \n\n"], "the message has no line; each image needs one"),
        ([line(str(n), b"x") for n in range(257)], "the message has more than 256 lines; at most 256 are allowed"),
        ([line("a"), line("b"), line("a")], "request_id of line 3 is 'a', as of line 1; each line must have an id of"),
        ([line("a"), {"image": "aGk="}], "request_id of line 2 is missing; each line must have one, as text"),
        ([{"request_id": 7, "image": "aGk="}], "request_id of line 1 is '7'; each line must have one, as text"),
        ([line("")], "request_id of line 1 is ''; each line must have one, as text"),
        ([line("a"), b"[1]"], "line 2 is not a JSON object; each line must look like"),
        ([line("a"), IMAGE], "line 2 is not a JSON object; each line must look like"),
        ([b'{"request_id": "a", "request_id": "b"}'], "line 1: 'request_id' is stated twice; it must be stated once"),
        ([b'{"request_id": "a", "x": ' + b"[" * 9_999_900], "line 1 has 9,999,902 commas and brackets; at most 500"),
    ],
)
def test_a_broken_message_is_rejected_once(lines: list[bytes | dict[str, Any]], reason: str) -> None:
    found = decode_lines(envelope(*lines, request_id="all", reply_to="desk"))
    assert isinstance(found, Rejected) and found.reason.startswith(reason)
    assert (found.request_id, found.reply_to) == ("all", "desk")


def test_another_way_to_answer_is_refused_by_name() -> None:
    found = decode_lines(envelope(line(), responses="list"))
    assert isinstance(found, Rejected) and found.reason == "responses is 'list'; it must be batch, or be left out"


@given(st.binary(max_size=200) | st.text().map(str.encode), st.dictionaries(st.text(max_size=9), st.text(max_size=9)))
def test_no_message_makes_the_decoder_fail(data: bytes, attributes: dict[str, str]) -> None:
    found = decode_lines(Envelope("m1", data, {**attributes, "content_type": LINES_TYPE}))
    assert isinstance(found, list | Rejected)


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["request_id", "image", "image_uri", "filename", "traceparent", "x"]),
            st.recursive(
                st.none() | st.booleans() | st.floats() | st.text(max_size=9) | st.sampled_from(["a", "aGk=", "gs://"]),
                lambda inner: st.lists(inner, max_size=3),
            ),
        ),
        max_size=5,
    )
)
def test_each_line_that_is_read_has_one_request(lines: list[dict[str, Any]]) -> None:
    found = decode_lines(envelope(*lines))
    if isinstance(found, list):
        assert [each.request_id for each in found] == [each["request_id"] for each in lines]


def test_lines_without_the_content_type_are_refused_with_what_is_missing() -> None:
    found = decode(Envelope("m1", encode_line("a", IMAGE) + b"\n" + encode_line("b", IMAGE)))
    assert isinstance(found, Rejected) and found.reason.endswith(f"need the attribute content_type={LINES_TYPE}")


@given(st.lists(answered | refused, min_size=1, max_size=5))
def test_a_list_holds_the_responses(responses: list[Response]) -> None:
    attributes = {KIND: response_list.BATCH, "reply_to": "desk"}
    [data] = encode_lists(responses)
    assert data == encode_list(responses)
    SCHEMA.validate(json.loads(data))
    alone = [decode_response(encode_response(each), {"reply_to": "desk"}) for each in responses]
    assert decode_responses(data, attributes) == alone


def test_a_list_is_split_when_it_is_large() -> None:
    large = [OK.__class__(f"r{n}", error=OK.error, features=bytes(8192)) for n in range(600)]
    parts = list(encode_lists(large))
    assert 1 < len(parts) == -(-sum(map(len, parts)) // LIST_BYTES) and max(map(len, parts)) <= LIST_BYTES
    found = [each for part in parts for each in decode_responses(part, {KIND: response_list.BATCH})]
    assert [each.request_id for each in found] == [each.request_id for each in large]


def test_a_single_response_is_no_list() -> None:
    assert decode_responses(encode_response(OK), response_attributes(OK)) == [
        decode_response(encode_response(OK), response_attributes(OK))
    ]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"{", "it is not JSON"),
        (b"[]", "schema_version is missing"),
        (b'{"schema_version": 2, "responses": []}', "schema_version is '2'; it must be 1"),
        (b'{"schema_version": 1}', "responses is missing"),
        (b'{"schema_version": 1, "responses": {}}', "responses is an object; it must be a list"),
        (b'{"schema_version": 1, "responses": [3]}', "source is missing"),
        (b" " * 4_000_001, "it is over 4,000,000 bytes, the most that a list of responses has"),
    ],
)
def test_a_wrong_list_is_refused(data: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        decode_responses(data, {KIND: response_list.BATCH})


def test_a_list_names_its_message() -> None:
    assert list_attributes(envelope(request_id="all"), "desk") == {
        "kind": "batch",
        "request_id": "all",
        "reply_to": "desk",
    }
    assert list_attributes(Envelope("m1"), None) == {"kind": "batch", "request_id": "m1"}
