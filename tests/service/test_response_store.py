"""The response store: independent workers publish the same bytes, and only stored responses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from google.api_core.exceptions import NotFound

from functions.gcp.response_store import BucketResponseStore
from functions.messages.contract import Envelope, Response, encode_response
from functions.service.handler import Handler
from infra.local.storage.server import StorageServer
from model.labels import Explanation
from tests.fakes import MemoryResponses, fake_handler, handle, handle_dead_letter, respond
from tests.samples import encoded

ASKED = Envelope("m1", encoded(), {"request_id": "r1", "reply_to": "me", "explain": "true"}, delivery_attempt=1)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[StorageServer]:
    with StorageServer(names=["kept"]) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        yield server


def worker(place: str = "gs://kept/answers/") -> tuple[Handler, MemoryResponses]:
    """A freshly started worker with an empty response cache."""
    responses = MemoryResponses()
    return fake_handler(responses=responses, response_store=BucketResponseStore(place, "p")), responses


def sent(responses: MemoryResponses) -> list[bytes]:
    return [encode_response(response) for response in responses.published]


def test_every_worker_publishes_the_same_bytes(bucket: StorageServer) -> None:
    bodies: set[bytes] = set()
    for attempt in range(1, 4):
        handler, responses = worker()
        handle(handler, replace(ASKED, id=f"m{attempt}", delivery_attempt=attempt))
        bodies.update(sent(responses))
        assert responses.published[0].reply_to == "me"
    assert len(bodies) == 1
    (name,) = bucket.objects("kept")
    assert name.startswith("answers/") and name.endswith(".json")


def test_error_responses_are_stored_and_dead_letter_responses_are_not(bucket: StorageServer) -> None:
    bad = Envelope("m1", b"no image", {"request_id": "r2"})
    handler, responses = worker("gs://kept")
    handle_dead_letter(handler, bad)
    assert bucket.objects("kept") == []
    handle(handler, bad)
    another, more = worker("gs://kept")
    handle(another, bad)
    assert sent(responses)[1:] == sent(more)
    assert len(bucket.objects("kept")) == 1


def test_another_image_under_a_used_id_gets_its_own_response(bucket: StorageServer) -> None:
    for data in (encoded(), encoded("JPEG")):
        handler, responses = worker()
        handle(handler, Envelope("m", data, {"request_id": "same"}))
        assert responses.published[0].status == "ok"
    assert len(bucket.objects("kept")) == 2


def test_a_response_that_cannot_be_stored_is_not_published(
    bucket: StorageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.gcp.response_store.FETCH_RETRY_S", 0.2)
    handler, responses = worker()
    bucket.fail(503, 100)
    assert not handle(handler, ASKED).is_acked
    assert responses.published == []
    bucket.fail(times=0)
    handle(handler, ASKED)
    assert len(responses.published) == 1
    assert isinstance(responses.published[0].explanation, Explanation)


def test_a_worker_with_create_permission_only_reads_the_stored_response(bucket: StorageServer) -> None:
    handler, _ = worker()
    first = respond(handler, ASKED)
    response_store = BucketResponseStore("gs://kept/answers", "p")
    bucket.fail(403, path="/upload/")
    with pytest.raises(NotFound):  # it may not even create: nothing is there
        response_store.keep("id", first)
    response_store.keep("id", first)
    bucket.fail(403, path="/upload/")
    later = replace(first, completed_at="2030-01-01T00:00:00.000Z")
    assert response_store.keep("id", later).completed_at == first.completed_at


def test_a_lost_reply_of_the_bucket_makes_no_second_response(bucket: StorageServer) -> None:
    """The object is there, the worker did not hear of it, and tries again: it finds its own answer."""
    handler, responses = worker()
    first = respond(handler, ASKED)
    response_store = BucketResponseStore("gs://kept/answers", "p")
    stored = response_store.keep("id", first)
    later: Response = replace(first, completed_at="2030-01-01T00:00:00.000Z")
    assert encode_response(response_store.keep("id", later)) == encode_response(stored)
    assert responses.published == []
