"""The identity of a response: equal for copies of a request, different whenever the response may differ."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from functions.messages.contract import Envelope, Ignored, Rejected, Request, Response
from functions.messages.request_decoder import decode
from functions.service.response_cache import identity_of
from tests.fakes import MemoryObjects, MemoryResponses, MemoryResponseStore, fake_handler, handle
from tests.samples import encoded

NOTIFICATION = {"eventType": "OBJECT_FINALIZE", "bucketId": "uploads", "objectId": "x.png", "objectGeneration": "17"}
UPLOAD = "uploads/x.png#17"
RESOURCE = json.dumps({"bucket": "uploads", "name": "x.png", "generation": "17", "size": "9"}).encode()

# Few values of each, so that two envelopes are often alike but for one.
VALUES = {
    "request_id": ["r1", "r2", UPLOAD, "i" * 257],
    "reply_to": ["me", "you", "i" * 257],
    "top_k": ["3", "5", "03", "0"],
    "model": ["fake", ""],
    "expires_at": ["2099-01-01T00:00:00Z", "2099-01-01T01:00:00+01:00", "2099-01-02T00:00:00Z", "never"],
    "explain": ["true", "false", "yes"],
    "filename": ["a.png", "b.png"],
    "eventType": ["OBJECT_FINALIZE", "OBJECT_DELETE"],
    "bucketId": ["uploads", "payloads"],
    "objectId": ["x.png", "x.png#17"],
    "objectGeneration": ["17", "18", "", "17#18"],
    "payloadFormat": ["JSON_API_V1", "NONE"],
    "colour": ["blue"],
}
BODIES = [
    b"",
    b"image",
    RESOURCE,
    b'{"image_uri": "gs://uploads/x.png"}',
    b'{"image_uri": "gs://uploads/x.png#17"}',
    b'{"image_uri": "gs://uploads/x.png#17", "explain": true}',
    b'{"image_uri": "gs://uploads/x.png#17", "size": "9"}',
    b'{"image_uri": "gs://uploads/x.png#17", "top_k": 3, "reply_to": "me", "request_id": "r1"}',
    b'\xef\xbb\xbf\n{"image_uri": "gs://uploads/x.png", "model": "fake", "filename": "a.png"}',
    b'{"image_uri": 7}',
    b'{"size": "10", "metadata": {"top_k": "3", "reply_to": "me", "filename": "a.png"}}',
    b'{"size": "9", "metadata": {"reply_to": "' + b"i" * 257 + b'"}}',
]
ENVELOPES = st.builds(
    Envelope,
    st.sampled_from(["m1", "m2"]),
    st.sampled_from(BODIES) | st.binary(max_size=3),
    st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in VALUES.items()})
    | st.sampled_from([NOTIFICATION, {**NOTIFICATION, "objectGeneration": "18"}, {"request_id": UPLOAD}]),
    st.sampled_from([None, datetime(2026, 11, 21, tzinfo=UTC)]),
    st.integers(0, 2),
)


def decided(envelope: Envelope) -> Request | Rejected:
    """The decoded envelope without what differs between copies; an ignored one as a rejected one."""
    request = decode(envelope)
    if isinstance(request, Ignored):
        request = Rejected(request_id=request.request_id, source=request.source, event=request.event, reason="ignored")
    return replace(
        request,
        message_id="",
        reply_to=None,
        trace=None,
        published_at=None,
        delivery_attempt=0,
        dead_letter_attempts=0,
    )


def identity(envelope: Envelope, digest: str = "d") -> str:
    return identity_of(decided(envelope), digest)


@settings(max_examples=2000)
@given(ENVELOPES, ENVELOPES)
@example(Envelope("m", RESOURCE, NOTIFICATION), Envelope("m", RESOURCE, {"request_id": UPLOAD}))
@example(Envelope("m", b"x", {"request_id": "r", "reply_to": "i" * 257}), Envelope("m", b"x", {"request_id": "r"}))
def test_two_envelopes_share_an_identity_only_where_they_are_decoded_alike(one: Envelope, other: Envelope) -> None:
    assert (identity(one) == identity(other)) == (decided(one) == decided(other))


@settings(max_examples=300)
@given(ENVELOPES, st.text(min_size=1, max_size=9), st.integers(0, 99), st.datetimes(timezones=st.just(UTC)))
def test_copies_of_a_request_share_an_identity(
    envelope: Envelope, message_id: str, attempt: int, published: datetime
) -> None:
    envelope = replace(envelope, attributes={"request_id": "r1", **envelope.attributes})
    delivery = {"traceparent": "00-x", "CloudPubSubDeadLetterSourceDeliveryCount": "20", "eventTime": "later"}
    copy = Envelope(message_id, envelope.payload, {**envelope.attributes, **delivery}, published, attempt)
    assert identity(envelope) == identity(copy) != identity(envelope, "e")


@given(st.lists(st.text(max_size=4), min_size=2, max_size=2), st.lists(st.text(max_size=4), min_size=2, max_size=2))
def test_fields_of_an_identity_are_kept_apart(one: list[str], other: list[str]) -> None:
    identities = [identity(Envelope("m", b"x", {"filename": a, "request_id": f"r{b}"})) for a, b in (one, other)]
    assert (identities[0] == identities[1]) == (one == other)


@pytest.fixture
def uploads() -> MemoryObjects:
    return MemoryObjects({f"gs://{UPLOAD}": encoded()})


@pytest.mark.parametrize(
    "planted",
    [
        Envelope("evil", RESOURCE, {"request_id": UPLOAD}),
        Envelope("evil", RESOURCE, {**NOTIFICATION, "objectId": "x.png#17", "objectGeneration": ""}),
        Envelope("evil", RESOURCE.replace(b'"9"', b'"99999999999"'), NOTIFICATION),
        Envelope("evil", RESOURCE[:-1] + b', "metadata": {"top_k": "no"}}', NOTIFICATION),
        Envelope("evil", RESOURCE[:-1] + b', "metadata": {"reply_to": "' + b"i" * 257 + b'"}}', NOTIFICATION),
        Envelope("evil", RESOURCE, {**NOTIFICATION, "filename": "evil.png"}),
        Envelope("evil", b"no image", {"request_id": UPLOAD}),
    ],
)
def test_a_request_cannot_take_the_identity_of_an_upload(planted: Envelope, uploads: MemoryObjects) -> None:
    """An attacker may publish what it likes before the notification of an upload: under its id, with its body."""
    upload, clean, poisoned = Envelope("m", RESOURCE, NOTIFICATION), MemoryResponseStore(), MemoryResponseStore()
    handle(fake_handler(objects=uploads, response_store=poisoned), planted)
    found = handle(fake_handler(objects=uploads, response_store=poisoned), upload).response
    wanted = handle(fake_handler(objects=uploads, response_store=clean), upload).response
    assert found and wanted and (found.predictions, found.source) == (wanted.predictions, wanted.source)


def test_a_corrected_request_has_a_new_identity() -> None:
    responses = MemoryResponses()
    handler = fake_handler(responses=responses, response_store=MemoryResponseStore())
    for reply_to in ("i" * 257, "me"):
        handle(handler, Envelope("m", encoded(), {"request_id": "r1", "reply_to": reply_to}))
    assert [response.status for response in responses.published] == ["error", "ok"]


def test_a_refusal_has_one_wording_across_workers() -> None:
    response_store, refused = MemoryResponseStore(), Envelope("m", encoded(), {"request_id": "r1", "top_k": "no"})
    first, second = (handle(fake_handler(response_store=response_store), refused).response for _ in range(2))
    assert isinstance(first, Response) and first == second
