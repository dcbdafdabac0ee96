"""Notifications: each finished upload is notified once, like in the cloud; other events only where configured."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest
from google.cloud import storage
from google.cloud.storage import Bucket

from infra.local.ports import free_port
from infra.local.storage.notify import Notifier, Watch
from infra.local.storage.server import StorageServer
from tests.brokers import Cloud
from tests.waiting import nothing, pull

ALL = ("OBJECT_FINALIZE", "OBJECT_DELETE", "OBJECT_METADATA_UPDATE")


@pytest.fixture
def finished(cloud: Cloud) -> str:
    """A subscription to what is finished in `uploads`."""
    return cloud.subscription(cloud.topic("finished"), "finished-sub")


@pytest.fixture
def everything(cloud: Cloud) -> str:
    """A subscription to whatever happens in `uploads` under in/."""
    return cloud.subscription(cloud.topic("everything"), "everything-sub")


@pytest.fixture
def uploads(cloud: Cloud, finished: str, everything: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    topics = f"projects/{cloud.project}/topics"
    watches = [
        Watch(1, "uploads", f"{topics}/finished", ("OBJECT_FINALIZE",)),
        Watch(2, "uploads", f"{topics}/everything", ALL, prefix="in/"),
    ]
    with StorageServer(names=["uploads", "payloads"], notifier=Notifier(cloud.host, watches)) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        client = storage.Client(project=cloud.project)
        yield client.bucket("uploads")
        client.close()


def test_a_notification_has_the_documented_format(cloud: Cloud, uploads: Bucket, finished: str) -> None:
    blob = uploads.blob("shoes/left one.png")
    blob.metadata = {"top_k": "3"}
    blob.upload_from_string(b"\x89PNG", "image/png")
    (received,) = pull(cloud, finished)
    attributes = dict(received.message.attributes)
    assert attributes.pop("eventTime").endswith("Z")
    assert attributes == {
        "notificationConfig": "projects/_/buckets/uploads/notificationConfigs/1",
        "eventType": "OBJECT_FINALIZE",
        "payloadFormat": "JSON_API_V1",
        "bucketId": "uploads",
        "objectId": "shoes/left one.png",
        "objectGeneration": str(blob.generation),
    }
    resource = json.loads(received.message.data)
    assert resource["kind"] == "storage#object"
    assert (resource["bucket"], resource["name"]) == ("uploads", "shoes/left one.png")
    assert (resource["size"], resource["generation"]) == ("4", str(blob.generation))
    assert (resource["contentType"], resource["metadata"]) == ("image/png", {"top_k": "3"})
    assert resource["md5Hash"] == blob.md5_hash


def test_each_kind_of_upload_is_notified_once(cloud: Cloud, uploads: Bucket, finished: str) -> None:
    big = bytes(700_000)
    uploads.blob("multipart").upload_from_string(big)
    uploads.blob("resumable", chunk_size=262_144).upload_from_file(io.BytesIO(big))
    uploads.blob("empty").upload_from_string(b"")
    uploads.blob("folder/").upload_from_string(b"")
    uploads.copy_blob(uploads.blob("multipart"), uploads, "copied")
    with uploads.blob("written").open("wb") as file:
        file.write(big)
    received = pull(cloud, finished, 6)
    assert nothing(cloud, finished)
    sizes = {each.message.attributes["objectId"]: json.loads(each.message.data)["size"] for each in received}
    assert sizes == {
        "multipart": "700000",
        "resumable": "700000",
        "empty": "0",
        "folder/": "0",
        "copied": "700000",
        "written": "700000",
    }


def test_deletes_and_metadata_updates_are_notified(cloud: Cloud, uploads: Bucket, everything: str) -> None:
    blob = uploads.blob("in/1")
    blob.upload_from_string(b"one")
    first = str(blob.generation)
    blob.upload_from_string(b"two")
    second = str(blob.generation)
    blob.metadata = {"a": "b"}
    blob.patch()
    blob.delete()
    uploads.blob("elsewhere").upload_from_string(b"x")
    received = pull(cloud, everything, 5)
    assert nothing(cloud, everything)
    seen = [
        (
            each.message.attributes["eventType"],
            each.message.attributes["objectGeneration"],
            each.message.attributes.get("overwroteGeneration"),
            each.message.attributes.get("overwrittenByGeneration"),
        )
        for each in sorted(received, key=lambda each: int(each.message.message_id))
    ]
    assert seen == [
        ("OBJECT_FINALIZE", first, None, None),
        ("OBJECT_DELETE", first, None, second),
        ("OBJECT_FINALIZE", second, first, None),
        ("OBJECT_METADATA_UPDATE", second, None, None),
        ("OBJECT_DELETE", second, None, None),
    ]


def test_refused_uploads_and_other_buckets_are_not_notified(cloud: Cloud, uploads: Bucket, finished: str) -> None:
    uploads.client.bucket("payloads").blob("a").upload_from_string(b"x")
    with pytest.raises(Exception, match="412"):
        uploads.blob("a").upload_from_string(b"x", if_generation_match=5)
    with pytest.raises(Exception, match=r"400|checksum|MD5"):
        blob = uploads.blob("bad")
        blob.md5_hash = "AAAAAAAAAAAAAAAAAAAAAA=="
        blob.upload_from_string(b"x")
    assert nothing(cloud, finished)


def test_an_upload_succeeds_without_a_broker(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("infra.local.storage.notify._TIMEOUT_S", 0.3)
    notifier = Notifier(f"127.0.0.1:{free_port()}", [Watch(1, "uploads", "projects/p/topics/gone")])
    with StorageServer(names=["uploads"], notifier=notifier) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        client = storage.Client(project="p")
        client.bucket("uploads").blob("a").upload_from_string(b"x")
        assert client.bucket("uploads").blob("a").exists()
        client.close()
    assert "no notification of uploads/a" in caplog.text
