"""Signed URLs and forms, uploads that they start, host names of buckets, multipart listings, browsers."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.cloud.storage import Bucket
from google.oauth2 import service_account

from infra.local.storage.server import StorageServer
from tests.storage_bucket import new_bucket

EMAIL = "signer@p.iam.gserviceaccount.com"
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> tuple[service_account.Credentials, Path]:
    """Credentials of a service account, and the folder with the public half of its key."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    folder = tmp_path_factory.mktemp("keys")
    public = key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{EMAIL}.pem").write_bytes(public)
    info = {"client_email": EMAIL, "private_key": private, "token_uri": "http://127.0.0.1:1/"}
    return service_account.Credentials.from_service_account_info(info), folder


@pytest.fixture(scope="module")
def server(signer: tuple[service_account.Credentials, Path]) -> Iterator[StorageServer]:
    with StorageServer(signing_keys=signer[1]) as server:
        yield server


@pytest.fixture
def bucket(server: StorageServer) -> Iterator[Bucket]:
    with new_bucket(server, "signed") as bucket:
        yield bucket


@pytest.mark.parametrize("version", ["v2", "v4"])
def test_signed_urls_are_checked_with_a_known_key(
    server: StorageServer, bucket: Bucket, signer: tuple[service_account.Credentials, Path], version: str
) -> None:
    blob = bucket.blob("a b/é")

    def signed(method: str, expiration: timedelta = HOUR, **options: object) -> str:
        return str(
            blob.generate_signed_url(
                expiration,
                method=method,
                version=version,
                credentials=signer[0],
                **{"api_access_endpoint": server.url, **options},
            )
        )

    put = signed("PUT", content_type="text/plain")
    assert requests.put(put, b"x", headers={"Content-Type": "text/plain"}, timeout=5).status_code == 200
    assert requests.get(signed("GET"), timeout=5).content == b"x"
    without_port = signed("GET", api_access_endpoint="http://127.0.0.1").replace("http://127.0.0.1", server.url)
    assert requests.get(without_port, timeout=5).content == b"x"
    wrong = requests.get(put, timeout=5)  # signed for another method
    assert (wrong.status_code, ElementTree.fromstring(wrong.content).findtext("Code")) == (403, "SignatureDoesNotMatch")
    assert requests.get(signed("GET").replace("a%20b", "c"), timeout=5).status_code == 403
    expired = signed("GET", timedelta(seconds=-1) if version == "v2" else timedelta(0))
    assert ElementTree.fromstring(requests.get(expired, timeout=5).content).findtext("Code") == "ExpiredToken"


def test_signatures_of_others_are_not_checked_and_said(
    server: StorageServer, bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    bucket.blob("a").upload_from_string(b"x")
    query = (
        "X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Credential=other@p/1/auto/storage/goog4_request&X-Goog-Signature=00"
    )
    for _ in range(2):
        assert requests.get(f"{server.url}/signed/a?{query}", timeout=5).content == b"x"
    assert caplog.text.count("signatures of other@p are not checked") == 1


def test_a_signed_post_starts_a_resumable_upload(
    server: StorageServer, bucket: Bucket, signer: tuple[service_account.Credentials, Path]
) -> None:
    headers = {"x-goog-resumable": "start", "x-goog-meta-a": "b"}
    address = bucket.blob("resumed").generate_signed_url(
        HOUR, method="POST", version="v4", headers=headers, credentials=signer[0], api_access_endpoint=server.url
    )
    begun = requests.post(address, headers=headers, timeout=5)
    assert begun.status_code == 201
    half = requests.put(
        begun.headers["Location"], b"a" * (1 << 18), headers={"Content-Range": "bytes 0-262143/262145"}, timeout=5
    )
    assert (half.status_code, half.headers["Range"]) == (308, "bytes=0-262143")
    rest = {"Content-Range": "bytes 262144-262144/262145"}
    assert requests.put(begun.headers["Location"], b"b", headers=rest, timeout=5).status_code == 200
    blob = bucket.get_blob("resumed")
    assert blob is not None and (blob.size, blob.metadata) == ((1 << 18) + 1, {"a": "b"})


def test_forms_obey_their_policy(
    server: StorageServer, bucket: Bucket, signer: tuple[service_account.Credentials, Path]
) -> None:
    conditions = [["starts-with", "$key", "in/"], ["content-length-range", 1, 5]]
    policy = bucket.client.generate_signed_post_policy_v4(
        "signed", "in/${filename}", HOUR, conditions=conditions, credentials=signer[0],
        fields={"success_action_status": "201", "x-goog-meta-a": "b"},
    )  # fmt: skip

    def post(content: bytes = b"FILE", changed: Mapping[str, str] | None = None) -> requests.Response:
        fields = {**policy["fields"], **(changed or {})}
        return requests.post(f"{server.url}/", data=fields, files={"file": ("é.txt", content, "text/plain")}, timeout=5)

    made = post()
    assert (made.status_code, ElementTree.fromstring(made.content).findtext("{*}Key")) == (201, "in/é.txt")
    blob = bucket.get_blob("in/é.txt")
    assert blob is not None
    assert (blob.download_as_bytes(), blob.metadata, blob.content_type) == (b"FILE", {"a": "b"}, "text/plain")
    too_long = post(b"too long")
    assert (too_long.status_code, "<Code>EntityTooLarge</Code>" in too_long.text) == (400, True)
    for refused in (post(changed={"key": "out/a"}), post(changed={"x-goog-meta-c": "d"})):
        assert (refused.status_code, "policy document refuses" in refused.text) == (403, True)
    assert post(changed={"x-goog-signature": "00"}).status_code == 403
    late = json.dumps({"expiration": (datetime.now(UTC) - HOUR).isoformat(), "conditions": [{"bucket": "signed"}]})
    assert "expired" in post(changed={"policy": base64.b64encode(late.encode()).decode()}).text
    address = f"{server.url}/signed/"
    assert requests.post(address, data=policy["fields"], files={"file": ("a", b"FILE")}, timeout=5).status_code == 201
    assert requests.post(address, data={"key": "a"}, files={"other": b"x"}, timeout=5).status_code == 400


def test_buckets_have_host_names(server: StorageServer, bucket: Bucket) -> None:
    named = {"Host": "signed.localhost:1"}
    assert requests.put(f"{server.url}/b/o", b"x", headers=named, timeout=5).status_code == 200
    assert requests.get(f"{server.url}/b/o", headers=named, timeout=5).content == b"x"
    assert bucket.blob("b/o").download_as_bytes() == b"x"
    assert requests.get(f"{server.url}/storage/v1/b/signed", headers=named, timeout=5).json()["name"] == "signed"


def test_multipart_uploads_parts_and_objects_are_listed(server: StorageServer, bucket: Bucket) -> None:
    numbers = {}
    for name in ("a", "b"):
        started = requests.post(f"{server.url}/signed/{name}?uploads", timeout=5).content
        numbers[name] = ElementTree.fromstring(started).findtext("{*}UploadId")
    address = f"{server.url}/signed/a?uploadId={numbers['a']}"
    for number in (1, 2, 3):
        requests.put(f"{address}&partNumber={number}", b"x" * number, timeout=5)

    def listed(url: str, *path: str) -> list[list[str | None]]:
        root = ElementTree.fromstring(requests.get(url, timeout=5).content)
        return [[each.findtext(f"{{*}}{field}") for field in path[1:]] for each in root.iterfind(f"{{*}}{path[0]}")]

    assert listed(address, "Part", "PartNumber", "Size") == [["1", "1"], ["2", "2"], ["3", "3"]]
    assert listed(f"{address}&part-number-marker=1&max-parts=1", "Part", "PartNumber") == [["2"]]
    assert listed(f"{server.url}/signed?uploads", "Upload", "Key", "UploadId") == [[*each] for each in numbers.items()]
    assert listed(f"{server.url}/signed?uploads&key-marker=a", "Upload", "Key") == [["b"]]
    for name in ("one", "two/1", "two/2"):
        bucket.blob(name).upload_from_string(b"x")
    everything = f"{server.url}/signed?delimiter=/"
    assert listed(everything, "Contents", "Key", "Size") == [["one", "1"]]
    assert listed(everything, "CommonPrefixes", "Prefix") == [["two/"]]
    assert listed(f"{server.url}/signed?list-type=2&start-after=one", "Contents", "Key") == [["two/1"], ["two/2"]]


def test_browsers_may_use_the_server(server: StorageServer, bucket: Bucket) -> None:
    page = {"Origin": "http://localhost:3000"}
    asks = {**page, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "x-goog-meta-a"}
    resource = f"{server.url}/storage/v1/b/signed/o/a"
    preflight = requests.options(resource, headers=asks, timeout=5).headers
    assert (preflight["Access-Control-Allow-Origin"], preflight["Access-Control-Allow-Headers"]) == (
        "http://localhost:3000",
        "x-goog-meta-a",
    )
    assert requests.get(resource, headers=page, timeout=5).headers["Access-Control-Allow-Origin"] == page["Origin"]
    address = f"{server.url}/signed/a"
    assert "Access-Control-Allow-Origin" not in requests.options(address, headers=asks, timeout=5).headers
    rule = {"origin": [page["Origin"]], "method": ["PUT"], "responseHeader": ["x-goog-meta-a"], "maxAgeSeconds": 60}
    bucket.cors = [rule]
    bucket.patch()
    preflight = requests.options(address, headers=asks, timeout=5).headers
    assert (preflight["Access-Control-Allow-Methods"], preflight["Access-Control-Max-Age"]) == ("PUT", "60")
    assert requests.put(address, b"x", headers=page, timeout=5).headers["Access-Control-Allow-Origin"] == page["Origin"]
    assert "Access-Control-Allow-Origin" not in requests.get(address, headers=page, timeout=5).headers
