"""The Storage server through the stock client: content, generations, preconditions and injected failures."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from google.api_core import exceptions
from google.cloud import storage
from google.cloud.storage import Blob, Bucket

from infra.local.storage.server import StorageServer


@pytest.fixture(scope="module")
def server() -> Iterator[StorageServer]:
    with StorageServer(names=["uploads", "other"]) as server:
        yield server


@pytest.fixture
def bucket(server: StorageServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
    client = storage.Client(project="p")
    yield client.bucket("uploads")
    client.close()


@pytest.mark.parametrize(
    "content",
    [b"", b"\r\n", b"\n", b"a\r", b"\r\n--", b"--===", bytes(range(256)) * 5, os.urandom(300_000)],
    ids=["empty", "crlf", "lf", "cr", "mark", "dashes", "all bytes", "random"],
)
@pytest.mark.parametrize("chunk", [None, 262_144], ids=["multipart", "resumable"])
def test_an_uploaded_object_is_downloaded_unchanged(bucket: Bucket, content: bytes, chunk: int | None) -> None:
    blob = bucket.blob("a.bin", chunk_size=chunk)
    blob.upload_from_file(io.BytesIO(content), content_type="application/x-test")
    again = bucket.get_blob("a.bin")
    assert again is not None
    assert (again.size, again.content_type) == (len(content), "application/x-test")
    assert again.download_as_bytes(checksum="md5") == content


@pytest.mark.parametrize("name", ["a/b", "a//b", "a/", "/a", "a", "sp ace/é+#?%20;&.png", "../up", "a\\b"])
def test_names_are_not_paths(bucket: Bucket, name: str) -> None:
    bucket.blob(name).upload_from_string(name.encode())
    assert bucket.blob(name).download_as_bytes() == name.encode()
    assert name in [blob.name for blob in bucket.client.list_blobs("uploads")]


def test_metadata_and_ranges(bucket: Bucket) -> None:
    blob = bucket.blob("with-metadata")
    blob.metadata = {"top_k": "3"}
    blob.upload_from_string(b"0123456789", "text/plain")
    assert bucket.get_blob("with-metadata").metadata == {"top_k": "3"}
    assert blob.download_as_bytes(start=2, end=4) == b"234"


def test_a_new_generation_replaces_the_old(bucket: Bucket) -> None:
    blob = bucket.blob("twice")
    blob.upload_from_string(b"one")
    old = blob.generation
    blob.upload_from_string(b"two")
    assert blob.generation != old
    assert bucket.blob("twice", generation=blob.generation).download_as_bytes() == b"two"
    with pytest.raises(exceptions.NotFound):
        bucket.blob("twice", generation=old).download_as_bytes()
    with pytest.raises(exceptions.NotFound):
        bucket.blob("twice", generation=old).reload()
    assert bucket.get_blob("twice", generation=old) is None
    with pytest.raises(exceptions.NotFound):
        bucket.blob("twice", generation=old).delete()
    assert blob.exists()


@pytest.mark.parametrize("chunk", [None, 262_144], ids=["multipart", "resumable"])
def test_only_the_first_create_succeeds(bucket: Bucket, chunk: int | None) -> None:
    name = f"first-{chunk}"
    for content in (b"first", b"second"):
        blob = bucket.blob(name, chunk_size=chunk)
        if content == b"first":
            blob.upload_from_file(io.BytesIO(content), if_generation_match=0)
        else:
            with pytest.raises(exceptions.PreconditionFailed):
                blob.upload_from_file(io.BytesIO(content), if_generation_match=0)
    assert bucket.blob(name).download_as_bytes() == b"first"


def test_one_of_many_concurrent_creates_succeeds(bucket: Bucket) -> None:
    def create(number: int) -> int:
        try:
            bucket.blob("race").upload_from_string(b"%d" % number, if_generation_match=0)
        except exceptions.PreconditionFailed:
            return 0
        return 1

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(create, range(24))) == 1


CALLS: dict[str, Callable[[Blob, dict[str, int]], object]] = {
    "download": lambda blob, given: blob.download_as_bytes(**given),
    "reload": lambda blob, given: blob.reload(**given),
    "patch": lambda blob, given: blob.patch(**given),
    "upload": lambda blob, given: blob.upload_from_string(b"new", **given),
    "delete": lambda blob, given: blob.delete(**given),
}


@pytest.mark.parametrize("call", CALLS)
def test_preconditions(bucket: Bucket, call: str) -> None:
    blob = bucket.blob(f"guarded-{call}")
    blob.upload_from_string(b"old")
    blob.metadata = {"a": "b"}
    blob.patch()
    generation, metageneration = blob.generation, blob.metageneration
    assert metageneration == 2
    plain = bucket.blob(blob.name)
    refused = exceptions.NotModified if call in ("download", "reload") else exceptions.PreconditionFailed
    for given, error in (
        ({"if_generation_match": generation + 1}, exceptions.PreconditionFailed),
        ({"if_metageneration_match": metageneration + 1}, exceptions.PreconditionFailed),
        ({"if_generation_not_match": generation}, refused),
        ({"if_metageneration_not_match": metageneration}, refused),
    ):
        if call == "upload" and "if_metageneration_not_match" in given:
            continue  # the stock client misspells the parameter
        with pytest.raises(error):
            CALLS[call](plain, given)
    assert plain.download_as_bytes() == b"old"
    CALLS[call](plain, {"if_generation_match": generation, "if_metageneration_match": metageneration})
    assert plain.exists() is (call != "delete")


def test_preconditions_on_a_missing_object(bucket: Bucket) -> None:
    with pytest.raises(exceptions.NotFound):
        bucket.blob("absent").download_as_bytes(if_generation_match=1)
    with pytest.raises(exceptions.NotFound):
        bucket.blob("absent").delete(if_generation_match=1)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("absent").upload_from_string(b"x", if_generation_match=1)
    assert not bucket.blob("absent").exists()


def test_copies_check_preconditions_of_source_and_target(bucket: Bucket) -> None:
    source = bucket.blob("source")
    source.upload_from_string(b"x")
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.copy_blob(source, bucket, "copy", if_source_generation_match=1)
    bucket.copy_blob(source, bucket, "copy", if_generation_match=0, if_source_generation_match=source.generation)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.copy_blob(source, bucket, "copy", if_generation_match=0)
    with pytest.raises(exceptions.NotFound):
        bucket.copy_blob(source, bucket, "other-copy", source_generation=1)


def test_a_missing_bucket_is_not_found(bucket: Bucket) -> None:
    missing = bucket.client.bucket("missing")
    for call in (
        lambda: missing.blob("a").upload_from_string(b"x"),
        lambda: missing.blob("a", chunk_size=262_144).upload_from_file(io.BytesIO(b"x")),
        lambda: missing.blob("a").download_as_bytes(),
        lambda: list(bucket.client.list_blobs("missing")),
        lambda: bucket.client.get_bucket("missing"),
    ):
        with pytest.raises(exceptions.NotFound, match="missing"):
            call()


def test_a_missing_object_is_named(server: StorageServer) -> None:
    answer = requests.get(f"{server.url}/storage/v1/b/uploads/o/nothing", timeout=5)
    assert (answer.status_code, answer.json()["error"]["message"]) == (404, "No such object in uploads")


def test_requested_failures_are_injected(server: StorageServer, bucket: Bucket) -> None:
    blob = bucket.blob("unlucky")
    blob.upload_from_string(b"x")
    server.fail(status=503, times=2, path="unlucky")
    assert bucket.blob("lucky").exists() is False
    for _ in range(2):
        with pytest.raises(exceptions.ServiceUnavailable):
            blob.download_as_bytes(retry=None)
    assert blob.download_as_bytes(retry=None) == b"x"
    server.fail(times=100)
    server.fail(times=0)
    assert blob.exists()


def test_an_early_refusal_reads_the_body(server: StorageServer) -> None:
    server.fail(status=503, times=1)
    answer = requests.post(
        f"{server.url}/upload/storage/v1/b/uploads/o?uploadType=media&name=a", bytes(5_000_000), timeout=5
    )
    assert answer.status_code == 503


def test_media_uploads_of_any_type(server: StorageServer, bucket: Bucket) -> None:
    for kind, content in (("application/json", b'{"a": 1}'), ("image/png", b""), ("multipart/mixed", b"x")):
        address = f"{server.url}/upload/storage/v1/b/uploads/o?uploadType=media&name=media"
        answer = requests.post(address, content, headers={"Content-Type": kind}, timeout=5)
        assert answer.status_code == 200
        assert bucket.blob("media").download_as_bytes() == content


def test_invalid_requests_are_refused(server: StorageServer) -> None:
    assert requests.delete(f"{server.url}/storage/v1/b", timeout=5).status_code == 501
    broken = requests.post(
        f"{server.url}/upload/storage/v1/b/uploads/o?uploadType=multipart",
        b"broken",
        headers={"Content-Type": "multipart/related; boundary=x"},
        timeout=5,
    )
    assert (broken.status_code, "two parts" in broken.text) == (400, True)


def test_listing_with_folders(bucket: Bucket) -> None:
    for name in ("in/1", "in/2", "in/deep/3"):
        bucket.client.bucket("other").blob(name).upload_from_string(b"x")
    listed = bucket.client.list_blobs("other", prefix="in/", delimiter="/")
    assert [blob.name for blob in listed] == ["in/1", "in/2"]
    assert set(listed.prefixes) == {"in/deep/"}


def test_batches_answer_each_request_by_its_own_conditions(bucket: Bucket) -> None:
    kept, gone = bucket.blob("batch/kept ü"), bucket.blob("batch/gone")
    for blob in (kept, gone):
        blob.upload_from_string(b"x")
    patched = bucket.blob(kept.name)
    patched.metadata = {"a": "ü"}
    with bucket.client.batch(raise_exception=False) as batch:
        bucket.blob(kept.name).delete(if_generation_match=1)
        gone.delete(if_generation_match=gone.generation)
        patched.patch(if_metageneration_match=1)
        bucket.blob("batch/never").delete()
    assert [answer.status_code for answer in batch._responses] == [412, 204, 200, 404]
    assert (patched.metadata, patched.metageneration) == ({"a": "ü"}, 2)
    assert (kept.exists(), gone.exists()) == (True, False)
    with pytest.raises(exceptions.PreconditionFailed), bucket.client.batch():
        bucket.blob(kept.name).delete(if_generation_match=1)


def test_an_empty_batch_is_refused(server: StorageServer) -> None:
    for body in (b"", b"--x\r\n\r\n\r\n--x--"):
        answer = requests.post(
            f"{server.url}/batch/storage/v1", body, headers={"Content-Type": "multipart/mixed; boundary=x"}, timeout=5
        )
        assert answer.status_code == 400


def test_a_bucket_with_objects_cannot_be_deleted(bucket: Bucket) -> None:
    full = bucket.client.create_bucket("full")
    full.blob("a").upload_from_string(b"x")
    with pytest.raises(exceptions.Conflict, match="not empty"):
        full.delete()
    full.delete(force=True)
    assert not full.exists()


def test_a_stopped_server_closes_kept_connections() -> None:
    with requests.Session() as session:
        with StorageServer(names=["uploads"]) as server:
            assert session.get(f"{server.url}/storage/v1/b", timeout=5).status_code == 200
        with pytest.raises(requests.ConnectionError):
            session.get(f"{server.url}/storage/v1/b", timeout=5)
