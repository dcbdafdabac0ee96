"""What Google's clients of other languages send to the Storage server, by hand: Java, Go and Node."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator

import pytest
import requests

from infra.local.storage.server import StorageServer

KIB_256 = 1 << 18
ZIPPED = {"Content-Encoding": "gzip"}


@pytest.fixture(scope="module")
def server() -> Iterator[StorageServer]:
    with StorageServer(names=["clients"]) as server:
        yield server


def content(server: StorageServer, name: str) -> bytes:
    return requests.get(f"{server.url}/clients/{name}", timeout=5, headers={"Accept-Encoding": "gzip"}).content


def start(server: StorageServer, name: str) -> str:
    address = f"{server.url}/upload/storage/v1/b/clients/o?uploadType=resumable&name={name}"
    return requests.post(address, json={}, timeout=5).headers["Location"]


def test_java_compresses_every_body(server: StorageServer) -> None:
    made = requests.post(
        f"{server.url}/storage/v1/b?project=p", gzip.compress(b'{"name": "java-bucket"}'), headers=ZIPPED, timeout=5
    )
    assert made.json()["name"] == "java-bucket"
    data = bytes(3 << 20)
    related = b'--x\r\n\r\n{"name": "java"}\r\n--x\r\nContent-Type: a/b\r\n\r\n' + data + b"\r\n--x--"
    upload = f"{server.url}/upload/storage/v1/b/clients/o?uploadType="
    headers = {**ZIPPED, "Content-Type": "multipart/related; boundary=x"}
    requests.post(f"{upload}multipart", gzip.compress(related), headers=headers, timeout=5)
    assert content(server, "java") == data
    part = b"--x\r\nContent-Type: application/http\r\n\r\nGET /storage/v1/b/clients HTTP/1.1\r\n\r\n\r\n--x--"
    headers = {**ZIPPED, "Content-Type": "multipart/mixed; boundary=x"}
    batch = requests.post(f"{server.url}/batch/storage/v1", gzip.compress(part), headers=headers, timeout=5)
    assert "HTTP/1.1 200 OK" in batch.text


def test_what_describes_the_object_is_not_decompressed(server: StorageServer) -> None:
    zipped = gzip.compress(b"text")
    requests.put(f"{server.url}/clients/zipped", zipped, headers=ZIPPED, timeout=5)
    media = f"{server.url}/upload/storage/v1/b/clients/o?uploadType=media&name=media&contentEncoding=gzip"
    requests.post(media, zipped, headers=ZIPPED, timeout=5)
    for name in ("zipped", "media"):
        found = requests.get(f"{server.url}/storage/v1/b/clients/o/{name}", timeout=5).json()
        assert (found["contentEncoding"], found["size"]) == ("gzip", str(len(zipped)))


def test_compressed_bodies_are_bounded_and_checked(server: StorageServer) -> None:
    buckets = f"{server.url}/storage/v1/b?project=p"
    bomb = gzip.compress(bytes(17 << 20))
    for body, status in ((bomb, 413), (b"no gzip", 400), (gzip.compress(b"{}")[:-9], 400)):
        assert requests.post(buckets, body, headers=ZIPPED, timeout=5).status_code == status


def test_go_takes_no_308(server: StorageServer) -> None:
    address = start(server, "go")
    headers = {"X-GUploader-No-308": "yes", "Content-Range": f"bytes 0-{KIB_256 - 1}/*"}
    progress = requests.put(address, bytes(KIB_256), headers=headers, timeout=5)
    assert (progress.status_code, progress.headers["X-Http-Status-Code-Override"]) == (200, "308")
    assert progress.headers["Range"] == f"bytes=0-{KIB_256 - 1}"
    headers["Content-Range"] = f"bytes {KIB_256}-{KIB_256}/{KIB_256 + 1}"
    done = requests.put(address, b"x", headers=headers, timeout=5)
    assert "X-Http-Status-Code-Override" not in done.headers and done.json()["size"] == str(KIB_256 + 1)


@pytest.mark.parametrize("content_range", ["bytes 0-*/*", "bytes 0-*/5"])
def test_node_does_not_know_the_last_byte(server: StorageServer, content_range: str) -> None:
    headers = {"Content-Range": content_range}
    done = requests.put(start(server, "node"), iter([b"12", b"345"]), headers=headers, timeout=5)
    assert (done.status_code, content(server, "node")) == (200, b"12345")


def test_node_leaves_out_the_path_of_the_api(server: StorageServer) -> None:
    for base in (server.url, f"{server.url}/"):  # STORAGE_EMULATOR_HOST with and without a slash
        made = requests.post(f"{base}/b?project=p", json={"name": f"node-{len(base)}"}, timeout=5)
        assert made.status_code == 200
        assert requests.get(f"{base}/b/clients", timeout=5).json()["name"] == "clients"
        assert "email_address" in json.loads(requests.get(f"{base}/projects/p/serviceAccount", timeout=5).text)
        assert requests.get(f"{base}/projects/p/hmacKeys", timeout=5).json()["kind"] == "storage#hmacKeysMetadata"
