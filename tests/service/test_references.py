"""References: only allowed buckets are read, within the size limit, and object names are used literally."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import pytest
from google.cloud import storage

from functions.errors import ImageNotFound, InvalidRequest
from functions.gcp.object_store import BucketObjects
from functions.messages.contract import Envelope, ObjectRef
from functions.messages.request_decoder import parse_uri
from functions.runtime.payload_memory import PayloadBudget
from infra.local.storage.answer import Answer
from infra.local.storage.request import Request
from infra.local.storage.server import StorageServer
from model.errors import ImageTooLarge
from tests.decoding import requested

PLAIN_ODD = ("a b", "ü/靴.png", "#1", "a#b#c", "?alt=media", "...", "%2e%2e", "%2e%2e%2f", "../../o/x", "x" * 1024)
ODD_NAMES = (*PLAIN_ODD, "a\x1b[31m\u202e.png", "\x9b2J", "a\tb")


def fetched(allowed: Collection[str], ref: ObjectRef, max_bytes: int) -> bytes:
    with BucketObjects("p", allowed, PayloadBudget(40_000_000)).fetch(ref, max_bytes) as data:
        return data


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[StorageServer]:
    with StorageServer(names=["photos", "private"]) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        yield server


def put(bucket: str, name: str, data: bytes) -> int:
    client = storage.Client(project="p")
    blob = client.bucket(bucket).blob(name)
    blob.upload_from_string(data, timeout=10)
    client.close()
    return int(blob.generation)


def test_an_allowed_bucket_is_read(server: StorageServer) -> None:
    generation = put("photos", "a.png", b"image")
    assert fetched({"photos"}, ObjectRef("photos", "a.png"), 100) == b"image"
    assert fetched({"photos"}, ObjectRef("photos", "a.png", generation, 5), 5) == b"image"


@pytest.mark.parametrize("bucket", ["private", "photos2", "Photos", "", "photos/o/a.png?", "../b/private", "photos\n"])
def test_a_bucket_that_is_not_allowed_is_not_requested(
    server: StorageServer, monkeypatch: pytest.MonkeyPatch, bucket: str
) -> None:
    put("private", "a.png", b"image")
    asked: list[Request] = []
    answer = server.answer

    def noted(request: Request) -> Answer:
        asked.append(request)
        return answer(request)

    monkeypatch.setattr(server, "answer", noted)
    with pytest.raises(InvalidRequest, match=r"this worker reads from: photos$"):
        fetched({"photos"}, ObjectRef(bucket, "a.png", None, 5), 100)
    with pytest.raises(InvalidRequest, match=r"this worker reads from: none$"):
        fetched((), ObjectRef(bucket, "a.png"), 100)
    assert asked == []
    with pytest.raises(ImageNotFound):
        fetched({"photos"}, ObjectRef("photos", "a.png"), 100)
    assert asked, "the spy sees a request that is allowed"


def test_a_wrong_size_in_a_reference_does_not_raise_the_limit(server: StorageServer) -> None:
    """A forged notification says ten bytes of a large object."""
    put("photos", "large", bytes(2_000_000))
    with pytest.raises(ImageTooLarge, match=r"is 2,000,000 bytes; at most 1,000 are allowed"):
        fetched({"photos"}, ObjectRef("photos", "large", None, 10), 1000)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_object_names_are_used_literally(server: StorageServer, name: str) -> None:
    put("private", "x", b"not this")
    put("photos", name, name.encode())
    assert fetched({"photos"}, ObjectRef("photos", name), 2000) == name.encode()


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_an_impossible_object_name_is_not_found(server: StorageServer, name: str) -> None:
    with pytest.raises(ImageNotFound):
        fetched({"photos"}, ObjectRef("photos", name), 2000)


@pytest.mark.parametrize(
    "uri",
    [
        *("http://127.0.0.1/a.png", "https://host/a.png", "file:///etc/passwd", "ftp://h/a", "s3://photos/a.png"),
        *("data:image/png;base64,AAAA", "//photos/a.png", "/etc/passwd", "photos/a.png", "GS://photos/a.png"),
        *(" gs://photos/a.png", "gs:/photos/a.png", "gs://", "gs:///a.png", "gs://photos", "gs://photos/"),
        *(
            "gs://user@photos/a.png",
            "gs://photos:80/a.png",
            "gs://../a.png",
            "gs://127.0.0.1:80/a",
            "gs://photos/" + "x" * 1025,
        ),
        *(None, 1, True, [], {}, ["gs://photos/a.png"]),
    ],
    ids=repr,
)
def test_only_gs_addresses_are_accepted(uri: object) -> None:
    with pytest.raises(InvalidRequest, match="must look like gs://bucket/object"):
        parse_uri(uri)


def test_a_notification_with_an_invalid_bucket_name_is_refused() -> None:
    attributes = {
        "eventType": "OBJECT_FINALIZE",
        "bucketId": "photos/../private",
        "objectId": "a",
        "objectGeneration": "1",
    }
    image = requested(Envelope("m1", b"", attributes)).image
    assert isinstance(image, ObjectRef)
    with pytest.raises(InvalidRequest, match="this worker reads from: photos"):
        fetched({"photos"}, image, 100)
