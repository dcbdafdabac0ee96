"""The response cache: a redelivery gets the same response without new work."""

from __future__ import annotations

from dataclasses import replace

import pytest

from functions.messages.contract import Envelope, Ignored, Response
from functions.messages.request_decoder import decode
from functions.service.response_cache import ResponseCache, identity_of
from model.labels import Prediction
from tests.fakes import BrightnessEngine, MemoryObjects, MemoryResponses, fake_handler, handle
from tests.samples import encoded


def identity(envelope: Envelope, digest: str) -> str:
    request = decode(envelope)
    assert not isinstance(request, Ignored)
    return identity_of(request, digest)


ASKED = Envelope("m1", encoded(), {"request_id": "r1", "reply_to": "me"}, delivery_attempt=1)


def test_a_redelivery_gets_the_same_response_from_memory() -> None:
    engine, responses = BrightnessEngine(), MemoryResponses()
    handler = fake_handler(engine=engine, responses=responses)
    handle(handler, ASKED)
    handle(handler, replace(ASKED, id="m2", delivery_attempt=2))
    first, second = responses.published
    assert first == second
    assert engine.sizes == [1]


def test_each_copy_keeps_its_reply_to() -> None:
    responses = MemoryResponses()
    handler = fake_handler(responses=responses)
    for attributes in ({"request_id": "r1", "reply_to": "me"}, {"request_id": "r1", "reply_to": "you"}):
        handle(handler, Envelope("m1", encoded(), attributes))
    assert [response.reply_to for response in responses.published] == ["me", "you"]


@pytest.mark.parametrize(
    "other",
    [
        Envelope("m2", encoded(mode="RGB"), {"request_id": "r1"}),
        Envelope("m2", encoded(), {"request_id": "r2"}),
        Envelope("m2", encoded(), {"request_id": "r1", "top_k": "1"}),
        Envelope("m2", encoded(), {"request_id": "r1", "expires_at": "2099-01-01T00:00:00Z"}),
        Envelope("m2", encoded(), {"request_id": "r1", "explain": "true"}),
        Envelope("m2", encoded(), {"request_id": "r1", "filename": "a.png"}),
    ],
)
def test_other_options_make_another_request(other: Envelope) -> None:
    engine = BrightnessEngine()
    handler = fake_handler(engine=engine)
    handle(handler, ASKED)
    handle(handler, other)
    assert engine.sizes[:2] == [1, 1], "both were scored"
    assert identity(other, "d") != identity(ASKED, "d") != identity(ASKED, "e")


def test_error_responses_are_cached() -> None:
    """An object that appears between two deliveries must not bring a second answer that contradicts the first."""
    images, responses = MemoryObjects(), MemoryResponses()
    handler = fake_handler(objects=images, responses=responses)
    envelope = Envelope("m1", b'{"image_uri": "gs://bucket/late"}')
    handle(handler, envelope)
    images.objects["gs://bucket/late"] = encoded()
    handle(handler, envelope)
    assert [response.error and response.error.code for response in responses.published] == ["image_not_found"] * 2


def test_the_oldest_response_is_evicted_first() -> None:
    recent, answer = ResponseCache(5_000), Response("r", (Prediction("a", 1.0),))
    for number in range(10):
        recent.keep(str(number), answer)
    assert [number for number in range(10) if recent.get(str(number))] == [7, 8, 9]
    ResponseCache(10).keep("larger than the cache", answer)
