"""Object versions, and other protection from overwrites: moves, holds, retention, soft deletion."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from google.api_core import exceptions
from google.cloud import storage
from google.cloud.storage import Bucket

from infra.local.storage.notify import Notifier
from infra.local.storage.server import StorageServer
from tests.brokers import Cloud
from tests.waiting import nothing, pull


@pytest.fixture(scope="module")
def server() -> Iterator[StorageServer]:
    with StorageServer() as server:
        yield server


@pytest.fixture
def client(server: StorageServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[storage.Client]:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
    client = storage.Client(project="p")
    yield client
    for bucket in client.list_buckets():
        for blob in list(bucket.list_blobs(versions=True)):
            blob.delete()
        bucket.delete()
    client.close()


@pytest.fixture
def bucket(client: storage.Client) -> Bucket:
    bucket = client.bucket("versions")
    bucket.versioning_enabled = True
    return client.create_bucket(bucket)


def generations(bucket: Bucket) -> list[int]:
    return [blob.generation for blob in bucket.list_blobs(versions=True)]


def test_an_overwritten_object_is_kept(bucket: Bucket) -> None:
    blob = bucket.blob("a")
    blob.upload_from_string(b"one")
    first = blob.generation
    blob.upload_from_string(b"two")
    second = blob.generation
    old = bucket.get_blob("a", generation=first)
    assert old is not None
    assert (old.download_as_bytes(), old.time_deleted is not None) == (b"one", True)
    assert bucket.blob("a").download_as_bytes() == b"two"
    assert generations(bucket) == [first, second]
    assert [each.generation for each in bucket.list_blobs()] == [second]
    pages = bucket.list_blobs(versions=True, page_size=1).pages
    assert [[each.generation for each in page] for page in pages] == [[first], [second]]
    bucket.blob("a").delete()
    assert (bucket.blob("a").exists(), generations(bucket)) == (False, [first, second])
    restored = bucket.copy_blob(bucket.blob("a"), bucket, "a", source_generation=first)
    assert restored.download_as_bytes() == b"one"
    for generation in (first, second, restored.generation):
        bucket.blob("a", generation=generation).delete()
    assert generations(bucket) == []


def test_a_bucket_with_old_versions_is_not_empty(bucket: Bucket) -> None:
    bucket.blob("a").upload_from_string(b"x")
    bucket.blob("a").delete()
    with pytest.raises(exceptions.Conflict, match="not empty"):
        bucket.delete()


def test_archiving_is_notified(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    subscription = cloud.subscription(cloud.topic("notified"), "notified-sub")
    with StorageServer(names=["b"], notifier=Notifier(cloud.host, ())) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        client = storage.Client(project=cloud.project)
        bucket = client.bucket("b")
        bucket.versioning_enabled = True
        bucket.patch()
        bucket.notification("notified", payload_format="NONE").create()
        blob = bucket.blob("a")
        blob.upload_from_string(b"one")
        first = blob.generation
        blob.upload_from_string(b"two")
        bucket.blob("a").delete()
        bucket.blob("a", generation=first).delete()
        received = pull(cloud, subscription, 5)
        assert nothing(cloud, subscription)
        client.close()
    notified = [
        (each.message.attributes["eventType"], each.message.attributes["objectGeneration"])
        for each in sorted(received, key=lambda each: int(each.message.message_id))
    ]
    second = str(blob.generation)
    assert notified == [
        ("OBJECT_FINALIZE", str(first)),
        ("OBJECT_ARCHIVE", str(first)),
        ("OBJECT_FINALIZE", second),
        ("OBJECT_ARCHIVE", second),
        ("OBJECT_DELETE", str(first)),
    ]


def test_an_object_is_moved(client: storage.Client) -> None:
    bucket = client.create_bucket("moves")
    blob = bucket.blob("dir/from ü")
    blob.metadata = {"a": "b"}
    blob.upload_from_string(b"x", "text/plain")
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.move_blob(blob, "to", if_source_generation_match=1)
    moved = bucket.move_blob(blob, "dir/to", if_generation_match=0)
    assert [each.name for each in bucket.list_blobs()] == ["dir/to"]
    assert (moved.metadata, moved.content_type, moved.download_as_bytes()) == ({"a": "b"}, "text/plain", b"x")
    with pytest.raises(exceptions.NotFound):
        bucket.move_blob(blob, "again")


def test_held_objects_cannot_be_deleted(client: storage.Client) -> None:
    bucket = client.create_bucket("holds")
    blob = bucket.blob("a")
    for hold in ("temporary_hold", "event_based_hold"):
        blob.upload_from_string(b"x")
        setattr(blob, hold, True)
        blob.patch()
        for call in (blob.delete, lambda: bucket.blob("a").upload_from_string(b"y")):
            with pytest.raises(exceptions.Forbidden, match="held"):
                call()
        setattr(blob, hold, False)
        blob.patch()
        blob.delete()


def test_retained_objects_cannot_be_deleted(client: storage.Client) -> None:
    bucket = client.create_bucket("retained")
    bucket.retention_period = 1000
    bucket.patch()
    blob = bucket.blob("a")
    blob.upload_from_string(b"x")
    blob.reload()
    assert blob.retention_expiration_time is not None
    with pytest.raises(exceptions.Forbidden, match="retained until"):
        blob.delete()
    bucket.retention_period = None
    bucket.patch()
    blob.delete()
    bucket.retention_period = 1000
    bucket.patch()
    bucket.lock_retention_policy()
    bucket.retention_period = 10
    with pytest.raises(exceptions.Forbidden, match="locked"):
        bucket.patch()


def test_soft_deleted_objects_can_be_restored(client: storage.Client) -> None:
    bucket = client.bucket("soft")
    bucket.soft_delete_policy.retention_duration_seconds = 7 * 86_400
    client.create_bucket(bucket)
    blob = bucket.blob("a")
    blob.upload_from_string(b"x")
    generation = blob.generation
    blob.delete()
    assert not blob.exists()
    (deleted,) = bucket.list_blobs(soft_deleted=True)
    assert (deleted.generation, deleted.soft_delete_time is not None) == (generation, True)
    restored = bucket.restore_blob("a", generation=generation)
    assert (restored.generation != generation, bucket.blob("a").download_as_bytes()) == (True, b"x")
    bucket.blob("a").delete()
    number = bucket.generation
    bucket.delete()
    assert client.restore_bucket("soft", number).name == "soft"
