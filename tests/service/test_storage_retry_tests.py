"""Retry tests: faults that a client asks for by name, as Google's retry suites do; and Host and Origin of requests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
from google.cloud import storage
from google.cloud.storage import Bucket

from infra.local.guard import refusal
from infra.local.pubsub.server import PubsubServer
from infra.local.storage.server import StorageServer
from tests.storage_bucket import new_bucket

KIB_256 = 1 << 18


@pytest.fixture(scope="module")
def server() -> Iterator[StorageServer]:
    with StorageServer() as server:
        yield server


@pytest.fixture
def bucket(server: StorageServer) -> Iterator[Bucket]:
    with new_bucket(server, "retried") as bucket:
        yield bucket


class RetryTest:
    """A retry test at the server; its clients name it in every request."""

    def __init__(self, server: StorageServer, method: str, *faults: str) -> None:
        self._url = f"{server.url}/retry_test"
        self.id = requests.post(self._url, json={"instructions": {method: faults}}, timeout=5).json()["id"]

    @property
    def completed(self) -> bool:
        return bool(requests.get(f"{self._url}/{self.id}", timeout=5).json()["completed"])

    def client(self) -> storage.Client:
        client = storage.Client(project="p", extra_headers={"x-retry-test-id": self.id})
        return client


@pytest.mark.parametrize(
    "faults",
    [["return-503", "return-429"], ["return-reset-connection"], ["return-broken-stream"]],
    ids=["statuses", "reset", "broken"],
)
def test_the_client_retries_a_failing_call(server: StorageServer, bucket: Bucket, faults: list[str]) -> None:
    test = RetryTest(server, "storage.buckets.get", *faults)
    assert test.client().get_bucket("retried").name == "retried"
    assert test.completed


def test_a_download_continues_after_a_broken_stream(server: StorageServer, bucket: Bucket) -> None:
    content = bytes(range(256)) * 2048
    bucket.blob("a").upload_from_string(content)
    test = RetryTest(server, "storage.objects.get", "return-broken-stream-after-256K")
    answer = requests.get(
        f"{server.url}/storage/v1/b/retried/o/a?alt=media", headers={"x-retry-test-id": test.id}, stream=True, timeout=5
    )
    received = b""
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        for piece in answer.iter_content(1024):
            received += piece
    assert received == content[:KIB_256] and test.completed
    assert test.client().bucket("retried").blob("a").download_as_bytes() == content


def test_a_resumable_upload_continues_after_a_failure_within(server: StorageServer, bucket: Bucket) -> None:
    content = bytes(range(256)) * 4096
    test = RetryTest(server, "storage.objects.insert", "return-503-after-256K")
    blob = test.client().bucket("retried").blob("a", chunk_size=2 * KIB_256)
    blob.upload_from_string(content, if_generation_match=0)
    assert bucket.blob("a").download_as_bytes() == content and test.completed


def test_an_upload_in_one_chunk_fails_within_too(server: StorageServer, bucket: Bucket) -> None:
    test = RetryTest(server, "storage.objects.insert", "return-503-after-256K")
    begun = requests.post(f"{server.url}/upload/storage/v1/b/retried/o?uploadType=resumable&name=a", json={}, timeout=5)
    address = begun.headers["Location"]
    assert requests.put(address, bytes(KIB_256 + 9), headers={"x-retry-test-id": test.id}, timeout=5).status_code == 503
    progress = requests.put(address, headers={"Content-Range": "bytes */*"}, timeout=5)
    assert (progress.status_code, progress.headers["Range"]) == (308, f"bytes=0-{KIB_256 - 1}")


def test_retry_tests_are_checked_listed_and_deleted(server: StorageServer) -> None:
    address = f"{server.url}/retry_test"
    for method, fault, status in (
        ("storage.buckets.lst", "return-503", 400),
        ("storage.buckets.list", "explode", 400),
        ("storage.buckets.list", "return-503", 200),
    ):
        asked = {"instructions": {method: [fault]}}
        assert requests.post(address, json=asked, timeout=5).status_code == status
    assert requests.post(address, json={"instructions": {"storage.buckets.list": 503}}, timeout=5).status_code == 400
    assert requests.post(address, json={"instructions": {}, "transport": "GRPC"}, timeout=5).status_code == 501
    number = requests.get(f"{server.url}/retry_tests", timeout=5).json()["retry_test"][-1]["id"]
    assert requests.delete(f"{address}/{number}", timeout=5).status_code == 200
    assert requests.get(f"{address}/{number}", timeout=5).status_code == 404
    lost = requests.get(f"{server.url}/storage/v1/b?project=p", headers={"x-retry-test-id": number}, timeout=5)
    assert lost.status_code == 404


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1:1", "[::1]:1", "b.localhost", "LOCALHOST", None])
def test_loopback_names_are_served(host: str | None) -> None:
    assert refusal(host, None) == ""


@pytest.mark.parametrize(
    "host", ["evil.example:9023", "localhost.evil.example", "10.0.0.1", "[", "127.0.0.1.evil.example"]
)
def test_other_names_are_refused_unless_allowed(host: str) -> None:
    assert "Host must be localhost" in refusal(host, None)
    assert refusal(host, None, any_host=True) == ""


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://localhost.evil.example", "http://10.0.0.1"])
def test_pages_of_other_sites_are_refused_in_every_case(origin: str) -> None:
    for any_host in (False, True):
        assert "Origin must be a page of this machine" in refusal("127.0.0.1:1", origin, any_host=any_host)
    assert refusal("evil.example", "http://evil.example", any_host=True) != ""


def test_every_port_checks_host_and_origin(server: StorageServer) -> None:
    with PubsubServer() as pubsub:
        for address in (f"{server.url}/storage/v1/b?project=p", f"http://{pubsub.host}/v1/projects/p/topics"):
            for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
                answer = requests.get(address, headers=headers, timeout=5)
                assert (answer.status_code, "must be" in answer.json()["error"]["message"]) == (403, True)
            assert requests.get(address, headers={"Host": "localhost:1"}, timeout=5).status_code == 200
