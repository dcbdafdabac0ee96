"""Nightly batches: each image under a prefix becomes one request, with the id that an upload would have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from functions.entrypoints import batch_publish
from functions.messages.contract import Envelope, ObjectRef
from functions.messages.image_lines import decode_lines
from infra.local.pubsub.server import PubsubServer
from infra.local.storage.server import StorageServer
from tests.brokers import Cloud
from tests.decoding import requested
from tests.waiting import pull

LATER = datetime.now(UTC) + timedelta(hours=1)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[StorageServer]:
    with StorageServer(names=["photos"]) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p")
        photos = storage.Client(project="p", credentials=AnonymousCredentials()).bucket("photos")
        for name, body in {
            "in/a.png": b"a",
            "in/b#1.png": b"b",
            "in/none": b"",
            "in/folder/": b"x",
            "out/c": b"c",
        }.items():
            photos.blob(name).upload_from_string(body)
        yield server


def test_images_are_objects_under_the_prefix(bucket: StorageServer) -> None:
    assert [ref.name for ref in batch_publish.images("photos", "in/")] == ["in/a.png", "in/b#1.png"]
    assert [ref.name for ref in batch_publish.images("photos", "", LATER)] == []


def test_each_image_is_a_request(cloud: Cloud, bucket: StorageServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_publish, "MAX_IN_FLIGHT", 1)
    topic = cloud.topic()
    subscription = cloud.subscription(topic)

    assert batch_publish.main(["gs://photos/in/", "--topic", topic, "--hours", "25"]) == 0

    messages = [each.message for each in pull(cloud, subscription, 2)]
    asked = {requested(Envelope("m", each.data, each.attributes)).image for each in messages}
    assert asked == set(batch_publish.images("photos", "in/"))
    assert {each.attributes["request_id"] for each in messages} == {
        f"photos/{ref.name}#{ref.generation}" for ref in asked if isinstance(ref, ObjectRef)
    }
    assert all(set(json.loads(each.data)) == {"image_uri"} for each in messages)


def test_a_missing_request_topic_is_a_failure(
    bucket: StorageServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with PubsubServer() as server:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", server.host)

        assert batch_publish.main(["gs://photos", "--topic", "projects/p/topics/none"]) == 1

    assert "not all requests were published" in caplog.text


@pytest.mark.parametrize("place", ["photos/in", "gs://", "gs://Photos/in"])
def test_an_invalid_prefix_is_refused(place: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        batch_publish.main([place, "--topic", "projects/p/topics/t"])

    assert refused.value.code == 2
    assert f"it is '{place}'; it must look like gs://bucket/prefix" in capsys.readouterr().err


def test_several_images_share_a_message(cloud: Cloud, bucket: StorageServer) -> None:
    topic = cloud.topic()
    subscription = cloud.subscription(topic)
    assert batch_publish.main(["gs://photos/in/", "--topic", topic, "--gather", "2"]) == 0
    [received] = pull(cloud, subscription)
    found = decode_lines(Envelope("m", received.message.data, dict(received.message.attributes)))
    assert isinstance(found, list) and [request.source.image_uri for request in found] == [
        ref.uri for ref in batch_publish.images("photos", "in/")
    ]
    assert all(f"gs://{request.request_id}" == request.source.image_uri for request in found)
    with pytest.raises(SystemExit):
        batch_publish.main(["gs://photos/in/", "--topic", topic, "--gather", "257"])
