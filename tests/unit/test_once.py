"""Once: a message that comes again is answered in the same words and not worked on again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from functions.messages.contract import Envelope, Response
from functions.service.response_cache import Recent, identity_of
from model.labels import Prediction
from tests.fakes import BrightnessEngine, MemoryImages, MemoryResponses, fake_service
from tests.samples import encoded

ASKED = Envelope("m1", encoded(), {"request_id": "r1", "reply_to": "me"}, delivery_attempt=1)


def test_a_redelivery_is_answered_from_memory_in_the_same_words() -> None:
    engine, responses = BrightnessEngine(), MemoryResponses()
    service = fake_service(engine=engine, responses=responses)
    service.handle(ASKED)
    service.handle(replace(ASKED, id="m2", delivery_attempt=2))
    first, second = responses.published
    assert first == second
    assert engine.sizes == [1]


def test_each_copy_goes_to_whom_it_is_for() -> None:
    responses = MemoryResponses()
    service = fake_service(responses=responses)
    for attributes in ({"request_id": "r1", "reply_to": "me"}, {"request_id": "r1", "reply_to": "you"}):
        service.handle(Envelope("m1", encoded(), attributes))
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
def test_what_is_asked_otherwise_is_another_request(other: Envelope) -> None:
    engine = BrightnessEngine()
    service = fake_service(engine=engine)
    service.handle(ASKED)
    service.handle(other)
    assert engine.sizes[:2] == [1, 1], "both were scored"
    assert identity_of(other, "d") != identity_of(ASKED, "d") != identity_of(ASKED, "e")


def test_refusals_are_remembered_too() -> None:
    """An object that appears between two deliveries must not bring a second answer that contradicts the first."""
    images, responses = MemoryImages(), MemoryResponses()
    service = fake_service(images=images, responses=responses)
    envelope = Envelope("m1", b'{"image_uri": "gs://bucket/late"}')
    service.handle(envelope)
    images.objects["gs://bucket/late"] = encoded()
    service.handle(envelope)
    assert [response.error and response.error.code for response in responses.published] == ["image_not_found"] * 2


def test_failures_and_announcements_are_not_answers() -> None:
    engine, responses = BrightnessEngine(), MemoryResponses()
    service = fake_service(engine=engine, responses=responses)
    engine.failure = RuntimeError("busy")
    with pytest.raises(RuntimeError):
        service.handle(ASKED)
    service.handle_dead(ASKED)
    engine.failure = None
    service.handle(ASKED)
    assert [response.status for response in responses.published] == ["error", "ok"]


def test_the_oldest_is_forgotten_first() -> None:
    recent, answer = Recent(5_000), Response("r", (Prediction("a", 1.0),))
    for number in range(10):
        recent.keep(str(number), answer)
    assert [number for number in range(10) if recent.get(str(number))] == [7, 8, 9]
    Recent(10).keep("larger than the room", answer)
