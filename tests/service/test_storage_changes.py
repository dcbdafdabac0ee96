"""Changes that clients believe to be safe: stale updates, wrong checksums, short chunks, retention, contexts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
from google.api_core import exceptions
from google.cloud.storage import Bucket
from google.cloud.storage.blob import ObjectContexts, ObjectCustomContextPayload

from infra.local.storage.server import StorageServer
from tests.storage_bucket import new_bucket

KIB_256 = 1 << 18


@pytest.fixture(scope="module")
def server() -> Iterator[StorageServer]:
    with StorageServer() as server:
        yield server


@pytest.fixture
def bucket(server: StorageServer) -> Iterator[Bucket]:
    with new_bucket(server, "changes") as bucket:
        yield bucket


def resource(server: StorageServer, name: str) -> str:
    return f"{server.url}/storage/v1/b/changes/o/{name}"


def start(server: StorageServer, name: str, condition: str = "", **headers: str) -> str:
    """Where to put the bytes of a resumable upload."""
    address = f"{server.url}/upload/storage/v1/b/changes/o?uploadType=resumable&name={name}{condition}"
    return requests.post(address, json={}, headers=headers, timeout=5).headers["Location"]


def put(address: str, content: bytes, content_range: str) -> requests.Response:
    return requests.put(address, content, headers={"Content-Range": content_range}, timeout=5)


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_a_stale_update_does_not_change_the_newer_version(server: StorageServer, bucket: Bucket, method: str) -> None:
    blob = bucket.blob("a")
    blob.upload_from_string(b"old")
    old = blob.generation
    blob.upload_from_string(b"new")
    asked = {"generation": str(old), "metadata": {"of": "the old one"}}
    assert requests.request(method, resource(server, "a"), json=asked, timeout=5).status_code == 404
    assert bucket.get_blob("a").metadata is None
    assert requests.delete(resource(server, "a"), params={"generation": str(old)}, timeout=5).status_code == 404
    asked["generation"] = "first"
    refused = requests.request(method, resource(server, "a"), json=asked, timeout=5)
    assert (refused.status_code, "generation" in refused.text) == (400, True)


def test_a_patch_of_another_metageneration_is_refused(server: StorageServer, bucket: Bucket) -> None:
    bucket.blob("a").upload_from_string(b"x")
    asked = {"metageneration": "2", "metadata": {"a": "b"}}
    assert requests.patch(resource(server, "a"), json=asked, timeout=5).status_code == 412
    assert requests.delete(resource(server, "a"), params={"metageneration": "2"}, timeout=5).status_code == 412
    assert requests.patch(resource(server, "a"), json={**asked, "metageneration": "1"}, timeout=5).status_code == 200


def test_a_patch_that_changes_nothing_leaves_the_metageneration(bucket: Bucket) -> None:
    blob = bucket.blob("a")
    blob.metadata = {"a": "b"}
    blob.upload_from_string(b"x")
    blob.metadata = {"a": "b"}
    blob.patch()
    assert blob.metageneration == 1
    bucket.labels = {}
    bucket.patch()
    assert bucket.metageneration == 1


def test_an_empty_map_clears_and_is_not_returned(server: StorageServer, bucket: Bucket) -> None:
    blob = bucket.blob("a")
    blob.metadata = {"a": "b"}
    blob.upload_from_string(b"x")
    assert "metadata" not in requests.patch(resource(server, "a"), json={"metadata": {}}, timeout=5).json()
    labels = f"{server.url}/storage/v1/b/changes"
    requests.patch(labels, json={"labels": {"a": "b"}}, timeout=5)
    answer = requests.patch(labels, json={"labels": {"a": None}, "iamConfiguration": {}}, timeout=5).json()
    assert "labels" not in answer and answer["iamConfiguration"]["publicAccessPrevention"] == "inherited"


def test_preconditions_must_be_numbers(server: StorageServer, bucket: Bucket) -> None:
    bucket.blob("a").upload_from_string(b"x")
    for name in ("ifGenerationMatch", "ifMetagenerationNotMatch"):
        answer = requests.get(resource(server, "a"), params={name: "abc"}, timeout=5)
        assert (answer.status_code, name in answer.text) == (400, True)


def test_compose_checks_the_checksum_and_can_delete_its_sources(server: StorageServer, bucket: Bucket) -> None:
    for name in ("one", "two", "kept"):
        bucket.blob(name).upload_from_string(name.encode())
    body = {"sourceObjects": [{"name": "one"}, {"name": "two"}], "destination": {"crc32c": "AAAAAA=="}}
    address = resource(server, "whole") + "/compose"
    assert requests.post(address, json=body, timeout=5).status_code == 400
    assert sorted(server.objects("changes")) == ["kept", "one", "two"]
    again = {**body, "destination": {}, "deleteSourceObjects": True}
    assert requests.post(address, json=again, timeout=5).status_code == 200
    assert sorted(server.objects("changes")) == ["kept", "whole"]
    assert bucket.blob("whole").download_as_bytes() == b"onetwo"


def test_a_chunk_is_kept_up_to_a_multiple_of_256_kib(server: StorageServer, bucket: Bucket) -> None:
    address = start(server, "chunks")
    partly = put(address, b"a" * (KIB_256 + 5), f"bytes 0-{KIB_256 + 4}/*")
    assert (partly.status_code, partly.headers["Range"]) == (308, f"bytes=0-{KIB_256 - 1}")
    refused = put(address, b"b" * 5, f"bytes {KIB_256}-{KIB_256 + 4}/*")
    assert (refused.status_code, "262144" in refused.text) == (400, True)
    done = put(address, b"b" * 5, f"bytes {KIB_256}-{KIB_256 + 4}/{KIB_256 + 5}")
    assert done.json()["size"] == str(KIB_256 + 5)
    assert bucket.blob("chunks").download_as_bytes() == b"a" * KIB_256 + b"b" * 5


def test_a_resumable_upload_has_the_declared_length(server: StorageServer, bucket: Bucket) -> None:
    address = start(server, "length", **{"X-Upload-Content-Length": "6"})
    assert put(address, b"12345", "bytes 0-4/5").status_code == 400
    assert put(address, b"123456", "bytes 0-5/6").status_code == 200
    assert put(start(server, "length"), b"123", "bytes 0-4/5").status_code == 400  # fewer bytes than the range


def test_a_resumable_upload_is_refused_at_its_end(server: StorageServer, bucket: Bucket) -> None:
    bucket.blob("there").upload_from_string(b"x")
    address = start(server, "there", "&ifGenerationMatch=0")
    assert put(address, b"y", "bytes 0-0/1").status_code == 412
    assert bucket.blob("there").download_as_bytes() == b"x"


def test_an_unlocked_retention_can_be_made_longer(server: StorageServer, bucket: Bucket) -> None:
    bucket.blob("kept").upload_from_string(b"x")

    def retain(until: str | None, mode: str = "Unlocked", **query: str) -> int:
        asked = {"retention": until and {"mode": mode, "retainUntilTime": until}}
        return requests.patch(resource(server, "kept"), json=asked, params=query, timeout=5).status_code

    assert retain("soon") == 400
    assert [retain("2099-01-01T00:00:00Z"), retain("2099-01-02T00:00:00Z"), retain("2098-01-01T00:00:00Z")] == [
        200,
        200,
        403,
    ]
    assert requests.delete(resource(server, "kept"), timeout=5).status_code == 403
    assert retain(None, overrideUnlockedRetention="true") == 200


def test_contexts_are_kept_filtered_and_removed(server: StorageServer, bucket: Bucket) -> None:
    for name, value in (("a", "red"), ("b", "blue"), ("c", None)):
        blob = bucket.blob(name)
        if value:
            blob.contexts = ObjectContexts(blob, {"color": ObjectCustomContextPayload(value)})
        blob.upload_from_string(b"x")

    def listed(text: str) -> list[str]:
        return [blob.name for blob in bucket.client.list_blobs("changes", filter_=text)]

    assert listed('contexts."color":*') == ["a", "b"]
    assert listed('contexts."color"="red"') == ["a"]
    assert listed('-contexts."color":*') == ["c"]
    with pytest.raises(exceptions.BadRequest, match="filter"):
        listed("color = red")
    whole = bucket.blob("whole")
    whole.compose([bucket.blob("a"), bucket.blob("b")])
    assert listed('contexts."color"="blue"') == ["b", "whole"]
    assert bucket.copy_blob(bucket.blob("a"), bucket, "d").contexts.custom["color"]["value"] == "red"
    removals: list[dict[str, object]] = [{"color": None}, {"color": {}}, {}]
    for change in removals:
        requests.patch(resource(server, "b"), json={"contexts": {"custom": {"color": {"value": "blue"}}}}, timeout=5)
        answer = requests.patch(resource(server, "b"), json={"contexts": {"custom": change}}, timeout=5)
        assert (answer.status_code, "contexts" in answer.json()) == (200, False), change
