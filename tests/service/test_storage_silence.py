"""No request to a server of the twin ends without a response, whatever the object's metadata or the headers are."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
import requests
from google.api_core import exceptions
from google.cloud import storage
from google.cloud.storage import Bucket

from infra.local.pubsub.server import PubsubServer
from infra.local.storage.server import StorageServer


@pytest.fixture(scope="module")
def server() -> Iterator[StorageServer]:
    with StorageServer() as server:
        yield server


@pytest.fixture(scope="module")
def bucket(server: StorageServer) -> Iterator[Bucket]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", server.url)
        client = storage.Client(project="p")
        yield client.create_bucket("metadata")
        client.close()


def raw_head(server: StorageServer, name: str) -> bytes:
    """The head of a download's response as sent."""
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), 5) as connection:
        connection.sendall(f"GET /metadata/{name} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    return received.partition(b"\r\n\r\n")[0]


def test_metadata_beyond_ascii_are_downloaded(server: StorageServer, bucket: Bucket) -> None:
    blob = bucket.blob("unicode")
    blob.metadata, blob.content_disposition = {"city": "Köln", "都市": "東京"}, 'attachment; filename="東京.png"'
    blob.upload_from_string(b"x")
    assert blob.download_as_bytes() == b"x"
    head = raw_head(server, "unicode")
    assert "\r\nX-Goog-Meta-city: Köln\r\n".encode() in head and b"Content-Disposition: attachment" in head
    assert "都市".encode() not in head  # a name that HTTP cannot carry
    blob.reload()
    assert blob.metadata == {"city": "Köln", "都市": "東京"}


def test_metadata_do_not_become_headers_of_their_own(server: StorageServer, bucket: Bucket) -> None:
    blob = bucket.blob("lines")
    blob.metadata = {"a": "x\ny: z", "b": "kept"}
    blob.upload_from_string(b"x")
    head = raw_head(server, "lines")
    assert b"y: z" not in head and b"X-Goog-Meta-b: kept" in head
    disposition = requests.get(f"{server.url}/metadata/lines?response-content-disposition=a%0d%0ab:c", timeout=5)
    assert (disposition.status_code, disposition.headers.get("b")) == (200, None)


def test_control_characters_in_header_fields_and_keys_are_refused(bucket: Bucket) -> None:
    blob = bucket.blob("refused")
    blob.content_disposition = "a\r\nb: c"
    with pytest.raises(exceptions.BadRequest, match="contentDisposition must be a string without control characters"):
        blob.upload_from_string(b"x")
    blob = bucket.blob("refused")
    blob.upload_from_string(b"x")
    blob.metadata = {"a\nb": "c"}
    with pytest.raises(exceptions.BadRequest, match="key of metadata"):
        blob.patch()


def test_half_a_surrogate_pair_is_refused(server: StorageServer, bucket: Bucket) -> None:
    answer = requests.post(f"{server.url}/storage/v1/b", b'{"name": "\\ud800"}', timeout=5)
    assert answer.status_code == 400 and "not JSON" in answer.json()["error"]["message"]


def test_a_failing_handler_is_answered_and_logged(
    server: StorageServer, bucket: Bucket, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a fault")

    bucket.blob("failing").upload_from_string(b"x")
    address = f"{server.url}/metadata/failing"
    monkeypatch.setattr(server, "answer", fail)
    assert requests.get(address, timeout=5).status_code == 500
    assert "a fault" in caplog.text


@pytest.mark.parametrize("head", ["x: y\r\n" * 101, f"x: {'y' * 70_000}\r\n"], ids=["many headers", "a long header"])
def test_headers_that_pubsub_does_not_read_are_refused(head: str) -> None:
    with PubsubServer() as server:
        host, _, port = server.host.partition(":")
        with socket.create_connection((host, int(port)), 5) as connection:
            connection.sendall(f"GET /v1/projects/p/topics HTTP/1.1\r\nHost: localhost\r\n{head}\r\n".encode())
            assert connection.recv(100).startswith(b"HTTP/1.1 431 ")
