"""The request decoder: payload kinds, attributes, and refusals with their messages."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.errors import InvalidRequest
from functions.messages.contract import Envelope, ObjectRef, Request, encode_reference, encode_time
from functions.messages.request_decoder import JSON_BYTES, decode, parse_uri
from tests.decoding import ignored, rejection, requested
from tests.fakes import MemoryObjects, fake_handler, handle, handle_dead_letter

NOTIFICATION = {
    "eventType": "OBJECT_FINALIZE",
    "bucketId": "uploads",
    "objectId": "a/b#1.png",
    "objectGeneration": "17",
    "payloadFormat": "JSON_API_V1",
}


def notification(resource: dict[str, object] | None = None, **attributes: str) -> Envelope:
    payload = b"" if resource is None else json.dumps(resource).encode()
    return Envelope("m1", payload, {**NOTIFICATION, **attributes})


def test_an_image_payload_is_decoded() -> None:
    request = requested(Envelope("m1", b"\x89PNG", {"top_k": "3", "model": "fashion-mnist", "colour": "ignored"}))
    assert (request.request_id, request.image, request.options.top_k, request.options.model) == (
        "m1",
        b"\x89PNG",
        3,
        "fashion-mnist",
    )


def test_a_reference_payload_is_decoded() -> None:
    ref = ObjectRef("payloads", "x/ü#7.png", 1234)
    request = requested(Envelope("m1", encode_reference(ref), {"request_id": "r1"}))
    assert (request.request_id, request.image, request.options.top_k) == ("r1", ref, 5)


@pytest.mark.parametrize(
    ("payload", "attributes", "wanted"),
    [
        (b"image", {}, False),
        (b"image", {"explain": "true"}, True),
        (b"image", {"explain": "false"}, False),
        (b'{"image_uri": "gs://bucket/a", "explain": true}', {}, True),
        (b'{"image_uri": "gs://bucket/a", "explain": "true"}', {}, True),
        (b'{"image_uri": "gs://bucket/a", "explain": true}', {"explain": "false"}, False),
    ],
)
def test_explain_is_an_attribute_or_a_field(payload: bytes, attributes: dict[str, str], wanted: bool) -> None:
    assert requested(Envelope("m1", payload, attributes)).options.explain is wanted


def test_upload_metadata_may_request_an_explanation() -> None:
    assert requested(notification({"metadata": {"explain": "true"}})).options.explain
    assert not requested(notification({"explain": "true"}, explain="true")).options.explain


@pytest.mark.parametrize(
    ("payload", "attributes", "said"),
    [
        (b"image", {"explain": "yes"}, "explain is 'yes'; it must be true or false"),
        (b"image", {"explain": ""}, "explain is ''; it must be true or false"),
        (b'{"image_uri": "gs://bucket/a", "explain": 1}', {}, "explain is '1'; it must be true or false"),
        (b'{"image_uri": "gs://bucket/a", "explain": null}', {}, "explain is 'null'; it must be true or false"),
        (b'{"image_uri": "gs://bucket/a", "explain": ["true"]}', {}, "explain is '[\"true\"]'; it must be"),
    ],
)
def test_a_wrong_explain_is_refused(payload: bytes, attributes: dict[str, str], said: str) -> None:
    assert rejection(Envelope("m1", payload, attributes)).startswith(said)


def test_a_notification_is_decoded() -> None:
    envelope = notification({"size": "99", "metadata": {"top_k": "2", "reply_to": "me"}}, top_k="9")
    request = requested(envelope)
    assert request.request_id == "uploads/a/b#1.png#17"
    assert request.image == ObjectRef("uploads", "a/b#1.png", 17, 99)
    assert request.options.top_k == 2
    assert request.reply_to == "me"
    assert request.source.image_uri == "gs://uploads/a/b#1.png#17"


def test_a_long_object_name_is_hashed_in_the_request_id() -> None:
    envelope = notification({}, objectId="ü" * 200)
    request = requested(envelope)
    assert len(request.request_id) == 64 and request.request_id == requested(envelope).request_id
    assert request.source.image_uri == f"gs://uploads/{'ü' * 200}#17"


@pytest.mark.parametrize(
    ("envelope", "reason"),
    [
        (notification({"size": "0"}), "empty object"),
        (notification({"size": "5"}, objectId="folder/"), "folder marker"),
        (notification({"size": "5"}, eventType="OBJECT_DELETE"), "event OBJECT_DELETE"),
        (notification({"size": "5"}), None),
        (notification(None), None),
        (Envelope("m", b"x"), None),
    ],
)
def test_notifications_of_other_events_are_ignored(envelope: Envelope, reason: str | None) -> None:
    assert ignored(envelope) == reason


@pytest.mark.parametrize("value", ["abc", "0", "101", "1000", "-1", "1.5", "", " 3", "٣", "9" * 5000])
def test_top_k_is_refused_by_name(value: str) -> None:
    assert re.search(r"top_k is .*whole number from 1 to 100", rejection(Envelope("m", b"x", {"top_k": value})))


@pytest.mark.parametrize(
    "uri",
    [
        "http://host/x.png",
        "file:///etc/passwd",
        "gs://",
        "gs://bucket",
        "gs://bucket/",
        "gs://BUCKET/x",
        "gs://b/x",
        "gs://bucket/" + "x" * 1025,
        7,
        None,
        ["gs://bucket/x"],
    ],
)
def test_invalid_references_are_refused(uri: object) -> None:
    with pytest.raises(InvalidRequest, match=r"image_uri is .*gs://bucket/object"):
        parse_uri(uri)


@pytest.mark.parametrize(
    ("uri", "ref"),
    [
        ("gs://bucket/a.png", ObjectRef("bucket", "a.png")),
        ("gs://bucket/a#b.png", ObjectRef("bucket", "a#b.png")),
        ("gs://bucket/a#b#12", ObjectRef("bucket", "a#b", 12)),
        ("gs://bucket/a//b", ObjectRef("bucket", "a//b")),
        ("gs://bucket/a#" + "9" * 19, ObjectRef("bucket", "a#" + "9" * 19)),
    ],
)
def test_valid_references_are_accepted(uri: str, ref: ObjectRef) -> None:
    assert parse_uri(uri) == ref
    assert ref.uri == uri


@pytest.mark.parametrize("digits", ["9" * 5000, "٩" * 5000, "9" * 19, "-1", ""])
def test_invalid_generations_and_sizes_are_refused(digits: str) -> None:
    """Python reads no 5,000 digits: the request would always fail, and its dead letter too."""
    uri = json.dumps({"image_uri": f"gs://photos/a#{digits}"}).encode()
    for envelope in (Envelope("m", uri), notification({"size": digits}), notification({}, objectGeneration=digits)):
        response = handle(fake_handler(objects=MemoryObjects({})), envelope).response
        assert response and response.error and response.error.code in {"image_not_found", "invalid_request"}
        announced = handle_dead_letter(fake_handler(), envelope).response
        assert announced and announced.request_id == response.request_id


def test_json_is_bounded() -> None:
    reference = b'{"image_uri": "gs://bucket/a"}'
    assert requested(Envelope("m", reference.ljust(JSON_BYTES))).image == ObjectRef("bucket", "a")
    assert re.search(
        "JSON of 200,001 bytes; at most 200,000 are read", rejection(Envelope("m", reference.ljust(JSON_BYTES + 1)))
    )
    resource = b'{"size": "0"}'
    assert ignored(Envelope("m", resource.ljust(JSON_BYTES), NOTIFICATION)) == "empty object"
    assert ignored(Envelope("m", resource.ljust(JSON_BYTES + 1), NOTIFICATION)) is None, "unread"


@pytest.mark.parametrize(("body", "words"), [(b"", "empty"), (b"{}", "without image_uri"), (b'{"a": 1}', "image_uri")])
def test_bodies_without_an_image_are_refused(body: bytes, words: str) -> None:
    assert re.search(words, rejection(Envelope("m", body)))


def test_expires_at_needs_a_time_zone() -> None:
    moment = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
    for text in (encode_time(moment), "2026-11-21T10:30:00+01:00"):
        assert requested(Envelope("m", b"x", {"expires_at": text})).options.expires_at == moment
    for text in ("tomorrow", "2026-11-21T09:30:00", "0001-01-01T00:00:00+23:59", "1763717400"):
        assert re.search("expires_at is", rejection(Envelope("m", b"x", {"expires_at": text})))


@pytest.mark.parametrize("name", ["request_id", "reply_to"])
def test_ids_are_bounded(name: str) -> None:
    envelope = Envelope("m", b"x", {name: "i" * 257})
    assert re.search(f"{name} is 257 bytes; at most 256", rejection(envelope))
    assert len(decode(envelope).request_id) <= 256
    assert decode(envelope).reply_to is None


@given(
    st.binary(max_size=200),
    st.dictionaries(
        st.sampled_from(
            ["request_id", "top_k", "reply_to", "expires_at", "model", "eventType", "bucketId", "objectId", "x"]
        ),
        st.text(max_size=40),
    ),
)
def test_any_envelope_is_decoded_or_refused(payload: bytes, attributes: dict[str, str]) -> None:
    envelope = Envelope("m1", payload, attributes)
    decoded = decode(envelope)
    assert decoded.request_id
    assert isinstance(decoded, Request) or decoded.reason
