"""The pipeline: predictions, permanent failures and expiry."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from functions.messages.contract import Envelope, encode_time
from tests.fakes import (
    MODEL,
    BrightnessEngine,
    MemoryObjects,
    MemoryResponses,
    fake_handler,
    handle,
    respond,
)
from tests.samples import BAD_IMAGES, encoded

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


def test_an_image_gets_predictions() -> None:
    responses = MemoryResponses()
    handler = fake_handler(responses=responses, now=lambda: NOW)
    published_at = NOW - timedelta(milliseconds=250)
    handle(
        handler,
        Envelope(
            "m1", encoded(), {"top_k": "2", "reply_to": "me", "filename": "a.png"}, published_at, delivery_attempt=2
        ),
    )
    (response,) = responses.published
    assert (response.request_id, response.status, response.model, response.reply_to) == ("m1", "ok", MODEL, "me")
    assert len(response.predictions) == 2
    assert response.source.filename == "a.png"
    assert response.delivery_attempt == 2
    assert response.completed_at == "2026-11-21T09:30:00.000Z"
    timing = response.timing_ms
    assert timing.queue == 250.0
    assert 0 < timing.decode + timing.predict <= timing.total + 0.02


def test_a_redelivery_gives_the_same_predictions() -> None:
    handler = fake_handler()
    envelope = Envelope("m1", encoded("JPEG", (300, 200), "RGB"))
    assert respond(handler, envelope).predictions == respond(handler, envelope).predictions


@pytest.mark.parametrize(("data", "code"), BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_bad_images_get_error_responses(data: bytes, code: str) -> None:
    response = respond(fake_handler(), Envelope("m1", data))
    assert response.error is not None and response.error.code == code
    assert response.predictions == ()


@pytest.mark.parametrize(
    ("attributes", "code", "words"),
    [
        ({"top_k": "abc"}, "invalid_request", "top_k is 'abc'"),
        ({"model": "resnet"}, "unknown_model", "model is 'resnet'; this worker serves 'fake'"),
        ({"expires_at": encode_time(NOW)}, "expired", "expired at 2026-11-21T09:30:00.000Z"),
    ],
)
def test_bad_requests_get_error_responses(attributes: dict[str, str], code: str, words: str) -> None:
    response = respond(fake_handler(now=lambda: NOW), Envelope("m1", encoded(), attributes))
    assert response.error is not None and response.error.code == code
    assert words in response.error.message


@pytest.mark.parametrize("model", [MODEL.name, MODEL.digest, ""])
def test_a_request_may_name_the_served_model(model: str) -> None:
    assert respond(fake_handler(), Envelope("m1", encoded(), {"model": model})).status == "ok"


def test_expiry_is_checked_again_before_scoring() -> None:
    moments = iter([NOW, NOW + timedelta(seconds=2), NOW + timedelta(seconds=2)])
    engine = BrightnessEngine()
    handler = fake_handler(engine=engine, now=lambda: next(moments))
    response = respond(handler, Envelope("m1", encoded(), {"expires_at": encode_time(NOW + timedelta(seconds=1))}))
    assert response.error is not None and response.error.code == "expired"
    assert engine.sizes == []


@pytest.mark.parametrize(
    ("published", "expires_s", "said"),
    [
        (  # the sender's clock is an hour behind, or it waited so long before it sent
            NOW,
            -3590,
            "the request expired at 2026-11-21T08:30:10.000Z (expires_at), 3590.0 s before it was published, at "
            "2026-11-21T09:30:00.000Z by the broker's clock: the sender's clock may be wrong",
        ),
        (  # the worker's clock is an hour behind: it is the broker's that counts
            NOW + timedelta(hours=1),
            3590,
            "the request expired at 2026-11-21T10:29:50.000Z (expires_at), 10.0 s before it was published, at "
            "2026-11-21T10:30:00.000Z by the broker's clock: the sender's clock may be wrong",
        ),
        (  # it waited too long, or the worker's clock is ahead
            NOW - timedelta(seconds=30),
            -5,
            "the request expired at 2026-11-21T09:29:55.000Z (expires_at); by the worker's clock it is "
            "2026-11-21T09:30:00.000Z; it was published at 2026-11-21T09:29:30.000Z",
        ),
        (
            None,
            0,
            "the request expired at 2026-11-21T09:30:00.000Z (expires_at); by the worker's clock it is "
            "2026-11-21T09:30:00.000Z",
        ),
    ],
)
def test_an_expired_response_names_both_clocks(published: datetime | None, expires_s: float, said: str) -> None:
    attributes = {"expires_at": encode_time(NOW + timedelta(seconds=expires_s))}
    response = respond(fake_handler(now=lambda: NOW), Envelope("m1", encoded(), attributes, published))
    assert response.error and (response.error.code, response.error.message) == ("expired", said)


def test_a_slow_clock_gives_no_negative_times() -> None:
    envelope = Envelope(
        "m1", encoded(), {"expires_at": encode_time(NOW + timedelta(hours=2))}, NOW + timedelta(hours=1)
    )
    response = respond(fake_handler(now=lambda: NOW), envelope)
    assert response.status == "ok" and response.timing_ms.queue == 0


def test_references_are_fetched_and_bounded() -> None:
    images = MemoryObjects({"gs://bucket/a.png": encoded(), "gs://bucket/big": bytes(20_000_001)})
    handler = fake_handler(objects=images)
    for name, outcome in [("a.png", None), ("big", "image_too_large"), ("gone", "image_not_found")]:
        response = respond(handler, Envelope("m1", json.dumps({"image_uri": f"gs://bucket/{name}"}).encode()))
        assert (response.error.code if response.error else None) == outcome
        assert response.source.image_uri == f"gs://bucket/{name}"
