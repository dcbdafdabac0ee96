"""The Storage server's rules beyond plain uploads: metadata, etags, pages, ranges, resumed uploads, compose, copies."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator

import pytest
import requests
from google.api_core import exceptions
from google.cloud.storage import Blob, Bucket

from infra.local.storage.server import StorageServer
from tests.storage_bucket import new_bucket

MIB = 1 << 20


@pytest.fixture(scope="module")
def server() -> Iterator[StorageServer]:
    with StorageServer() as server:
        yield server


@pytest.fixture
def bucket(server: StorageServer) -> Iterator[Bucket]:
    with new_bucket(server, "rules") as bucket:
        yield bucket


def made(bucket: Bucket, name: str, content: bytes = b"0123456789") -> Blob:
    blob = bucket.blob(name)
    blob.upload_from_string(content, "text/plain")
    return blob


def start(server: StorageServer, name: str, condition: str = "") -> str:
    """Where to put the bytes of a resumable upload."""
    address = f"{server.url}/upload/storage/v1/b/rules/o?uploadType=resumable&name={name}{condition}"
    return requests.post(address, json={}, timeout=5).headers["Location"]


def put(address: str, content: bytes, content_range: str, **headers: str) -> requests.Response:
    return requests.put(address, content, headers={"Content-Range": content_range, **headers}, timeout=5)


def test_a_patch_merges_and_an_update_replaces(bucket: Bucket) -> None:
    blob = made(bucket, "a")
    before = blob.updated
    blob.metadata, blob.cache_control = {"a": "1", "b": "2"}, "no-store"
    blob.patch()
    blob.metadata = {"b": None, "c": "3"}
    blob.patch()
    assert (blob.metadata, blob.metageneration) == ({"a": "1", "c": "3"}, 3)
    assert blob.updated > before
    blob.cache_control = None
    blob.patch()
    blob.reload()
    assert blob.cache_control is None
    blob.metadata = {"d": "4"}
    blob.update()
    blob.reload()
    assert (blob.metadata, blob.metageneration, blob.content_type) == ({"d": "4"}, 5, "text/plain")


def test_etags_are_checked(bucket: Bucket) -> None:
    blob = made(bucket, "a")
    blob.reload()
    old = blob.etag
    blob.metadata = {"a": "b"}
    blob.patch()
    assert blob.etag != old
    assert blob.download_as_bytes(if_etag_match=blob.etag) == b"0123456789"
    with pytest.raises(exceptions.PreconditionFailed):
        blob.download_as_bytes(if_etag_match=old)
    with pytest.raises(exceptions.NotModified):
        blob.reload(if_etag_not_match=[old, blob.etag])


def test_bucket_preconditions_are_checked(bucket: Bucket) -> None:
    bucket.labels = {"a": "1", "b": "2"}
    bucket.patch(if_metageneration_match=bucket.metageneration)
    bucket.labels = {"c": "3"}
    bucket.patch()
    bucket.reload()
    assert bucket.labels == {"c": "3"}
    for call in (bucket.patch, bucket.reload, bucket.update):
        with pytest.raises(exceptions.PreconditionFailed):
            call(if_metageneration_match=1)
    with pytest.raises(exceptions.NotModified):
        bucket.reload(if_metageneration_not_match=bucket.metageneration)


def test_listings_are_paginated(bucket: Bucket) -> None:
    names = ["a", "b/1", "b/2", "c", "d/1", "é"]
    for name in names:
        made(bucket, name)
    client = bucket.client
    pages = [[blob.name for blob in page] for page in client.list_blobs("rules", page_size=2).pages]
    assert pages == [["a", "b/1"], ["b/2", "c"], ["d/1", "é"]]
    folded = client.list_blobs("rules", delimiter="/", page_size=2)
    assert [[blob.name for blob in page] for page in folded.pages] == [["a"], ["c"], ["é"]]
    assert set(folded.prefixes) == {"b/", "d/"}
    window = client.list_blobs("rules", start_offset="b/2", end_offset="d/1")
    assert [blob.name for blob in window] == ["b/2", "c"]
    assert [blob.name for blob in client.list_blobs("rules", match_glob="b/*")] == ["b/1", "b/2"]
    assert [blob.name for blob in client.list_blobs("rules", max_results=3)] == names[:3]
    for number in range(3):
        client.create_bucket(f"paged-{number}")
    assert [[each.name for each in page] for page in client.list_buckets(prefix="paged-", page_size=2).pages] == [
        ["paged-0", "paged-1"],
        ["paged-2"],
    ]


def test_ranges_are_read(server: StorageServer, bucket: Bucket) -> None:
    blob = made(bucket, "a")
    assert blob.download_as_bytes(start=7) == b"789"
    assert blob.download_as_bytes(start=-3) == b"789"
    assert blob.download_as_bytes(start=8, end=100) == b"89"
    with pytest.raises(exceptions.RequestRangeNotSatisfiable):
        blob.download_as_bytes(start=10)
    with blob.open("rb", chunk_size=4) as file:
        assert (file.read(2), file.seek(6), file.read()) == (b"01", 6, b"6789")
    one = requests.get(f"{server.url}/rules/a", headers={"Range": "bytes=0-0"}, timeout=5)
    assert (one.status_code, one.content, one.headers["Content-Range"]) == (206, b"0", "bytes 0-0/10")


def test_gzip_objects_are_decompressed_on_download(server: StorageServer, bucket: Bucket) -> None:
    blob = bucket.blob("zipped")
    blob.content_encoding = "gzip"
    blob.upload_from_string(gzip.compress(b"text"))
    assert blob.download_as_bytes() == b"text"
    assert gzip.decompress(blob.download_as_bytes(raw_download=True)) == b"text"
    plain = requests.get(f"{server.url}/rules/zipped", headers={"Accept-Encoding": "identity"}, timeout=5)
    assert (plain.content, "Content-Encoding" in plain.headers) == (b"text", False)


def test_a_resumable_upload_continues_where_it_was(server: StorageServer, bucket: Bucket) -> None:
    address = start(server, "big", "&ifGenerationMatch=0")
    empty = put(address, b"", "bytes */*")
    assert (empty.status_code, "Range" in empty.headers) == (308, False)
    assert put(address, b"a" * MIB, f"bytes 0-{MIB - 1}/*").headers["Range"] == f"bytes=0-{MIB - 1}"
    again = put(address, b"a" * MIB, f"bytes 0-{MIB - 1}/*")
    assert (again.status_code, again.headers["Range"]) == (308, f"bytes=0-{MIB - 1}")
    assert put(address, b"c", f"bytes {2 * MIB}-{2 * MIB}/*").status_code == 400
    assert put(address, b"", "bytes */*").headers["Range"] == f"bytes=0-{MIB - 1}"
    last = (b"b" * 5, f"bytes {MIB}-{MIB + 4}/{MIB + 5}")
    first = put(address, *last)
    assert first.status_code == 200
    for lost in (put(address, *last), put(address, b"", f"bytes */{MIB + 5}")):
        assert (lost.status_code, lost.json()["generation"]) == (200, first.json()["generation"])
    assert bucket.blob("big").download_as_bytes() == b"a" * MIB + b"bbbbb"


def test_a_cancelled_upload_creates_no_object(server: StorageServer, bucket: Bucket) -> None:
    address = start(server, "never")
    assert requests.delete(address, timeout=5).status_code == 499
    assert put(address, b"x", "bytes 0-0/1").status_code == 404
    assert not bucket.blob("never").exists()


def test_wrong_checksums_are_refused(server: StorageServer, bucket: Bucket) -> None:
    wrong = {"X-Goog-Hash": "crc32c=AAAAAA=="}
    media = f"{server.url}/upload/storage/v1/b/rules/o?uploadType=media&name=bad"
    for answer in (
        requests.post(media, b"x", headers=wrong, timeout=5),
        requests.put(f"{server.url}/rules/bad", b"x", headers=wrong, timeout=5),
        put(start(server, "bad"), b"x", "bytes 0-0/1", **wrong),
    ):
        assert (answer.status_code, "CRC32C" in answer.text) == (400, True)
    for kind, value in (("crc32c", "AAAAAA=="), ("md5_hash", "AAAAAAAAAAAAAAAAAAAAAA==")):
        blob = bucket.blob("bad")
        setattr(blob, kind, value)
        with pytest.raises(exceptions.BadRequest):
            blob.upload_from_file(io.BytesIO(b"x"), checksum=None)
    assert not bucket.blob("bad").exists()
    good = bucket.blob("good")
    for checksum in ("md5", "crc32c"):
        good.upload_from_file(io.BytesIO(b"x"), checksum=checksum)
        assert good.download_as_bytes(checksum=checksum) == b"x"


def test_preconditions_in_headers_are_checked(server: StorageServer, bucket: Bucket) -> None:
    address = f"{server.url}/rules/once"
    statuses = [
        requests.put(address, b"x", headers={"x-goog-if-generation-match": "0"}, timeout=5).status_code for _ in "ab"
    ]
    assert statuses == [200, 412]


def test_objects_are_composed(bucket: Bucket) -> None:
    one, two = made(bucket, "one", b"1"), made(bucket, "two", b"2")
    whole = bucket.blob("whole")
    whole.content_type, whole.metadata = "image/png", {"a": "b"}
    whole.compose([one, two], if_generation_match=0, if_source_generation_match=[one.generation, two.generation])
    whole.reload()
    assert (whole.download_as_bytes(), whole.component_count, whole.md5_hash) == (b"12", 2, None)
    assert (whole.content_type, whole.metadata) == ("image/png", {"a": "b"})
    with pytest.raises(exceptions.PreconditionFailed):
        whole.compose([one, two], if_source_generation_match=[one.generation, 1])
    with pytest.raises(exceptions.PreconditionFailed):
        whole.compose([one, two], if_generation_match=0)
    with pytest.raises(exceptions.NotFound):
        whole.compose([bucket.blob("missing")])
    whole = bucket.blob("whole")
    whole.compose([bucket.blob("two"), bucket.blob("one")])
    assert whole.download_as_bytes() == b"21"
    with pytest.raises(exceptions.BadRequest, match="32"):
        whole.compose([one] * 33)


def test_a_copy_keeps_metadata_unless_it_is_replaced(bucket: Bucket) -> None:
    source = made(bucket, "source")
    source.metadata = {"a": "b"}
    source.patch()
    copied = bucket.copy_blob(source, bucket, "copied")
    assert (copied.metadata, copied.content_type, copied.metageneration) == ({"a": "b"}, "text/plain", 1)
    assert copied.crc32c == source.crc32c
    other = bucket.blob("other")
    other.metadata, other.content_type = {"c": "d"}, "image/png"
    assert other.rewrite(source, if_source_metageneration_match=2) == (None, 10, 10)
    other.reload()
    assert (other.metadata, other.content_type, other.download_as_bytes()) == ({"c": "d"}, "image/png", b"0123456789")
    other.update_storage_class("NEARLINE")
    assert (other.storage_class, other.download_as_bytes()) == ("NEARLINE", b"0123456789")
    with pytest.raises(exceptions.PreconditionFailed):
        other.rewrite(source, if_source_metageneration_match=1)
    with pytest.raises(exceptions.NotFound):
        other.rewrite(bucket.blob("missing"))


def test_a_bucket_keeps_its_creation_settings(bucket: Bucket) -> None:
    asked = bucket.client.bucket("as-asked")
    asked.labels, asked.storage_class = {"a": "b"}, "NEARLINE"
    bucket.client.create_bucket(asked, location="EU")
    again = bucket.client.get_bucket("as-asked")
    assert (again.labels, again.storage_class, again.location) == ({"a": "b"}, "NEARLINE", "EU")
    assert again.metageneration == 1


def test_a_bucket_may_have_the_name_of_a_path_segment(bucket: Bucket) -> None:
    named = bucket.client.create_bucket("storage-of-mine")
    blob = made(named, "o/storage/v1")
    blob.reload()
    assert blob.download_as_bytes() == b"0123456789"
    named.delete(force=True)


def test_unsupported_requests_are_refused_with_the_reason(bucket: Bucket) -> None:
    with pytest.raises(exceptions.MethodNotImplemented, match="not supported"):
        bucket.client._connection.api_request("GET", "/b/rules/anywhereCaches")
