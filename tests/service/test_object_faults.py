"""What the twin's Cloud Storage replies with Google's client: each fault of the sender is answered at once."""

from __future__ import annotations

import bz2
import gc
import gzip
import zlib
from collections.abc import Iterator

import pytest
from google.cloud import storage

from functions.errors import code_of
from functions.gcp.object_store import BucketObjects
from functions.messages.contract import ObjectRef
from functions.runtime.payload_memory import PayloadBudget
from infra.local.storage.server import StorageServer
from tests.samples import encoded

IMAGE = encoded("BMP", (40, 30))
PACKED = gzip.compress(IMAGE)
LIMIT = 100_000

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[StorageServer]:
    with StorageServer(names=["photos"]) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        yield server


def put(data: bytes, encoding: str | None = None, key: bytes | None = None) -> None:
    client = storage.Client(project="p")
    blob = client.bucket("photos").blob("a.bmp", encryption_key=key)
    blob.content_encoding = encoding
    blob.upload_from_string(data, timeout=10)
    client.close()


def fetched(name: str = "a.bmp", size: int | None = None) -> bytes:
    objects = BucketObjects("p", {"photos"}, PayloadBudget(40_000_000))
    try:
        with objects.fetch(ObjectRef("photos", name, size=size), LIMIT) as data:
            return data
    finally:
        objects._client.close()


def refused(name: str = "a.bmp", size: int | None = None) -> tuple[str, str]:
    """The code and the message of the error that the object causes."""
    try:
        fetched(name, size)
    except Exception as exc:
        return code_of(exc), str(exc)
    finally:
        gc.collect()  # Google's client leaves the connection of a failed download to the garbage collector
    raise AssertionError("no error")


@pytest.mark.parametrize(
    ("encoding", "stored"),
    [
        (None, IMAGE),
        ("gzip", PACKED),
        ("GZIP", PACKED),
        ("x-gzip", PACKED),
        ("gzip", gzip.compress(IMAGE[:500]) + gzip.compress(IMAGE[500:])),
        ("identity", IMAGE),
        ("UTF-8", IMAGE),
        ("base64", IMAGE),
        ("image/bmp", IMAGE),
    ],
)
@pytest.mark.parametrize("stated", [None, 9])
def test_the_image_is_read_as_it_was_before_it_was_packed(
    server: StorageServer, encoding: str | None, stored: bytes, stated: int | None
) -> None:
    put(stored, encoding)
    assert fetched(size=stated) == IMAGE


@pytest.mark.parametrize(
    "stored",
    [
        IMAGE,
        PACKED[:-20],
        PACKED[:-4],
        PACKED[:5],
        b"\x1f",
        PACKED + b"more",
        zlib.compress(IMAGE),
        bz2.compress(IMAGE),
    ],
    ids=["an image", "cut", "without its end", "cut header", "one byte", "with more", "zlib", "bzip2"],
)
@pytest.mark.parametrize("encoding", ["gzip", "X-GZIP"])
def test_an_object_that_is_not_the_gzip_of_its_label_is_answered(
    server: StorageServer, stored: bytes, encoding: str
) -> None:
    put(stored, encoding)
    code, message = refused()
    assert (code, message) == (
        "invalid_image",
        f"gs://photos/a.bmp has Content-Encoding: {encoding.lower()}, but its bytes are not a whole gzip file; remove "
        "this label, or store the image file again",
    )


def test_a_gzip_file_of_thousands_of_members_is_refused(server: StorageServer) -> None:
    put(gzip.compress(b"") * 4_000, "gzip")
    assert refused()[0] == "invalid_image"


def test_a_gzip_file_that_unpacks_to_too_much_is_refused(server: StorageServer) -> None:
    put(gzip.compress(bytes(LIMIT + 1)), "gzip")
    assert refused() == ("image_too_large", "gs://photos/a.bmp is more than 100,000 bytes; no more are allowed")
    put(gzip.compress(bytes(LIMIT)), "gzip")
    assert fetched() == bytes(LIMIT)


@pytest.mark.parametrize("encoding", ["deflate", "br", "zstd", "compress", "Deflate"])
@pytest.mark.parametrize("stored", [IMAGE, zlib.compress(IMAGE), zlib.compress(bytes(50_000)), zlib.compress(b"x")])
def test_another_compression_is_answered_by_name(server: StorageServer, encoding: str, stored: bytes) -> None:
    """Google's client would compare the unpacked bytes with the stored checksum, and ask for the rest of them."""
    put(stored, encoding)
    code, message = refused()
    assert (
        code == "invalid_image" and f"has Content-Encoding: {encoding.lower()}; it must have none, or gzip" in message
    )


@pytest.mark.parametrize("stated", [None, 9])
def test_an_object_under_a_customers_key_is_answered(server: StorageServer, stated: int | None) -> None:
    put(IMAGE, key=bytes(range(32)))
    code, message = refused(size=stated)
    assert code == "invalid_request"
    assert message.startswith("gs://photos/a.bmp is encrypted with a customer-supplied key")
    put(IMAGE)
    assert fetched() == IMAGE


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "x" * 1025, "ü" * 513, ".", "..", ""])
def test_a_name_that_no_object_has_is_answered_without_a_call(server: StorageServer, name: str) -> None:
    server.fail(503, times=1000)
    code, message = refused(name)
    assert code == "image_not_found" and message.isprintable() and len(message) < 300


@pytest.mark.parametrize("status", [400, 401, 403, 408, 409, 410, 412, 416, 429, 500, 501, 502, 503, 504])
def test_other_replies_of_cloud_storage_are_transient(
    server: StorageServer, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.gcp.object_store.FETCH_RETRY_S", 0.0)
    put(IMAGE)
    for path in ("/storage/v1/b/photos/o", "/download/"):  # the reading of the size, and of the bytes
        server.fail(status, times=100, path=path)
        assert refused(size=9 if path == "/download/" else None)[0] == "unavailable"
    server.fail(times=0)
    assert fetched() == IMAGE


@pytest.mark.parametrize(("encoding", "stored"), [(None, IMAGE), ("gzip", PACKED)])
def test_bytes_that_were_damaged_on_the_way_are_transient(
    server: StorageServer, encoding: str | None, stored: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(stored, encoding)
    wrong = "crc32c=AAAAAA==,md5=AAAAAAAAAAAAAAAAAAAAAA=="
    monkeypatch.setattr("infra.local.storage.downloads.hash_header", lambda data: wrong)
    assert refused()[0] == "unavailable"
