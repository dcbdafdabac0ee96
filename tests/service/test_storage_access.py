"""Access settings of the Storage server: access control lists, policies, HMAC and encryption keys."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from google.api_core import exceptions
from google.cloud.storage import Bucket, transfer_manager
from google.cloud.storage.bucket import EncryptionEnforcementConfig

from infra.local.storage.server import StorageServer
from tests.storage_bucket import new_bucket

MIB = 1 << 20


@pytest.fixture(scope="module")
def server() -> Iterator[StorageServer]:
    with StorageServer() as server:
        yield server


@pytest.fixture
def bucket(server: StorageServer) -> Iterator[Bucket]:
    with new_bucket(server, "access") as bucket:
        yield bucket


def test_access_control_lists_are_kept(bucket: Bucket) -> None:
    bucket.default_object_acl.all().grant_read()
    bucket.default_object_acl.save()
    blob = bucket.blob("a")
    blob.upload_from_string(b"x")
    assert "READER" in blob.acl.all().get_roles()
    blob.acl.user("a@b.c").grant_owner()
    blob.acl.save()
    again = bucket.blob("a").acl
    again.reload()
    assert {"entity": "user-a@b.c", "role": "OWNER"} in list(again)
    bucket.iam_configuration.uniform_bucket_level_access_enabled = True
    bucket.patch()
    with pytest.raises(exceptions.BadRequest, match="uniform"):
        bucket.blob("a").acl.reload()


def test_public_access_can_be_prevented(bucket: Bucket) -> None:
    bucket.iam_configuration.public_access_prevention = "enforced"
    bucket.patch()
    with pytest.raises(exceptions.PreconditionFailed, match="enforced"):
        bucket.make_public()
    bucket.iam_configuration.public_access_prevention = "sometimes"
    with pytest.raises(exceptions.BadRequest, match="inherited, enforced"):
        bucket.patch()


def test_iam_policies_are_kept(bucket: Bucket) -> None:
    policy = bucket.get_iam_policy(requested_policy_version=3)
    policy.bindings.append({"role": "roles/storage.objectViewer", "members": {"allUsers"}})
    saved = bucket.set_iam_policy(policy)
    again = bucket.get_iam_policy(requested_policy_version=3)
    assert (again.bindings, again.etag) == (saved.bindings, saved.etag)
    assert "roles/storage.objectViewer" in [each["role"] for each in again.bindings]
    with pytest.raises(exceptions.PreconditionFailed, match="changed since"):
        bucket.set_iam_policy(policy)
    asked = ["storage.buckets.get", "storage.objects.create"]
    assert bucket.test_iam_permissions(asked) == asked


def test_hmac_keys_are_deactivated_and_deleted(bucket: Bucket) -> None:
    key, secret = bucket.client.create_hmac_key("a@b.c")
    assert secret and key.state == "ACTIVE"
    with pytest.raises(exceptions.BadRequest, match="INACTIVE"):
        key.delete()
    key.state = "INACTIVE"
    key.update()
    assert [each.state for each in bucket.client.list_hmac_keys()] == ["INACTIVE"]
    key.delete()
    assert list(bucket.client.list_hmac_keys()) == []
    assert "p@" in bucket.client.get_service_account_email().replace("service-", "")


@pytest.mark.parametrize("chunk", [None, 262_144], ids=["multipart", "resumable"])
def test_customer_supplied_encryption_keys_are_checked(bucket: Bucket, chunk: int | None) -> None:
    key, content = os.urandom(32), os.urandom(300_000)
    blob = bucket.blob("secret", encryption_key=key, chunk_size=chunk)
    blob.upload_from_string(content)
    assert blob.download_as_bytes() == content
    for other in (None, os.urandom(32)):
        with pytest.raises(exceptions.BadRequest, match="encryption key"):
            bucket.blob("secret", encryption_key=other).download_as_bytes()
    new = bucket.blob("secret", encryption_key=os.urandom(32))
    with pytest.raises(exceptions.BadRequest, match="encryption"):
        new.rewrite(bucket.blob("secret"))
    new.rewrite(blob)
    assert new.download_as_bytes() == content
    with pytest.raises(exceptions.BadRequest, match="differs from the object's"):
        bucket.blob("secret", encryption_key=key).download_as_bytes()


def test_a_bucket_keeps_its_kms_key_and_encryption_rules(bucket: Bucket) -> None:
    key = "projects/p/locations/us/keyRings/r/cryptoKeys/k"
    bucket.default_kms_key_name = key
    bucket.encryption.google_managed_encryption_enforcement_config = EncryptionEnforcementConfig("FullyRestricted")
    bucket.encryption.customer_managed_encryption_enforcement_config = EncryptionEnforcementConfig("NotRestricted")
    bucket.patch()
    bucket.reload()
    assert bucket.encryption.google_managed_encryption_enforcement_config.effective_time is not None
    assert bucket.encryption.customer_managed_encryption_enforcement_config.effective_time is None
    bucket.blob("a").upload_from_string(b"x")
    bucket.blob("b", kms_key_name=f"{key}2").upload_from_string(b"x")
    bucket.blob("c", encryption_key=b"k" * 32).upload_from_string(b"x")
    assert [blob.kms_key_name for blob in bucket.list_blobs()] == [key, f"{key}2", None]


def test_a_rewrite_continues_from_its_token(server: StorageServer, bucket: Bucket) -> None:
    content = os.urandom(2 * MIB + 1)
    bucket.blob("from").upload_from_string(content)
    address = f"{server.url}/storage/v1/b/access/o/from/rewriteTo/b/access/o/to?maxBytesRewrittenPerCall={MIB}"
    progress, token = [], ""
    while token is not None:
        answer = requests.post(f"{address}&rewriteToken={token}", timeout=5).json()
        progress.append((answer["totalBytesRewritten"], answer["done"]))
        token = answer.get("rewriteToken")
    assert progress == [(str(MIB), False), (str(2 * MIB), False), (str(2 * MIB + 1), True)]
    assert bucket.blob("to").download_as_bytes() == content
    assert requests.post(f"{address}&rewriteToken=nonsense", timeout=5).status_code == 400


def test_parts_of_an_upload_may_arrive_in_parallel(bucket: Bucket, tmp_path: Path) -> None:
    path, blob = tmp_path / "big", bucket.blob("big ü")
    path.write_bytes(os.urandom(11 * MIB))
    blob.metadata = {"a": "b"}
    transfer_manager.upload_chunks_concurrently(
        str(path), blob, chunk_size=5 * MIB, worker_type=transfer_manager.THREAD, max_workers=3
    )
    blob.reload()
    assert (blob.size, blob.metadata) == (11 * MIB, {"a": "b"})
    back = tmp_path / "back"
    transfer_manager.download_chunks_concurrently(
        blob, str(back), chunk_size=5 * MIB, worker_type=transfer_manager.THREAD
    )
    assert back.read_bytes() == path.read_bytes()


def test_invalid_parts_of_an_upload_are_refused(server: StorageServer, bucket: Bucket) -> None:
    address = f"{server.url}/access/parts"
    started = requests.post(f"{address}?uploads", timeout=5).text
    number = started.partition("<UploadId>")[2].partition("<")[0]
    etag = requests.put(f"{address}?partNumber=1&uploadId={number}", b"x", timeout=5).headers["ETag"]

    def finish(*parts: tuple[int, str]) -> int:
        listed = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{tag}</ETag></Part>" for n, tag in parts)
        body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>"
        return requests.post(f"{address}?uploadId={number}", body, timeout=5).status_code

    assert [finish(), finish((2, etag)), finish((1, "wrong"))] == [400, 400, 400]
    assert requests.put(f"{address}?partNumber=0&uploadId={number}", b"x", timeout=5).status_code == 400
    assert not bucket.blob("parts").exists()
    assert finish((1, etag)) == 200
    assert bucket.blob("parts").download_as_bytes() == b"x"
    assert requests.delete(f"{address}?uploadId={number}", timeout=5).status_code == 404


def test_bucket_metadata_is_kept(bucket: Bucket) -> None:
    bucket.add_lifecycle_delete_rule(age=42)
    bucket.cors = [{"origin": ["*"], "method": ["GET"], "maxAgeSeconds": 3600}]
    bucket.patch()
    again = bucket.client.get_bucket("access")
    assert [dict(rule) for rule in again.lifecycle_rules] == [{"action": {"type": "Delete"}, "condition": {"age": 42}}]
    assert again.cors == bucket.cors


def test_signed_urls_are_accepted_unverified(server: StorageServer, bucket: Bucket) -> None:
    address = f"{server.url}/access/signed?X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Signature=00"
    assert requests.put(address, b"x", headers={"x-goog-meta-a": "b"}, timeout=5).status_code == 200
    answer = requests.head(address, timeout=5)
    assert (answer.headers["Content-Length"], answer.headers["X-Goog-Meta-a"]) == ("1", "b")
    assert requests.get(address, timeout=5).content == b"x"


def test_chunked_bodies_are_read(server: StorageServer, bucket: Bucket) -> None:
    content = os.urandom(3 * MIB)
    address = f"{server.url}/upload/storage/v1/b/access/o?uploadType=media&name=chunked"
    pieces = (content[start : start + MIB] for start in range(0, len(content), MIB))
    assert requests.post(address, pieces, timeout=5).json()["size"] == str(len(content))
    assert bucket.blob("chunked").download_as_bytes() == content
