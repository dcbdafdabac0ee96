"""Responses of the Storage server as the cloud's: fields, lists, numbers, dates, formats of errors, refusals."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
import requests
from google.api_core import exceptions
from google.cloud.storage import Bucket

from infra.local.storage.server import StorageServer
from tests.storage_bucket import new_bucket


@pytest.fixture(scope="module")
def server() -> Iterator[StorageServer]:
    with StorageServer() as server:
        yield server


@pytest.fixture
def bucket(server: StorageServer) -> Iterator[Bucket]:
    with new_bucket(server, "responses") as bucket:
        yield bucket


def call(server: StorageServer, method: str, path: str, body: object = None, **query: str) -> requests.Response:
    return requests.request(method, f"{server.url}/storage/v1/b/responses{path}", json=body, params=query, timeout=5)


def test_fields_choose_a_part_of_the_response(server: StorageServer, bucket: Bucket) -> None:
    for name in ("a", "b", "c/d"):
        bucket.blob(name).upload_from_string(b"x")
    listed = call(server, "GET", "/o", fields="items(name,size),prefixes", delimiter="/").json()
    assert listed == {"items": [{"name": "a", "size": "1"}, {"name": "b", "size": "1"}], "prefixes": ["c/"]}
    assert call(server, "GET", "/o/a", fields="bucket, name").json() == {"bucket": "responses", "name": "a"}
    assert call(server, "GET", "", fields="iamConfiguration/publicAccessPrevention").json() == {
        "iamConfiguration": {"publicAccessPrevention": "inherited"}
    }
    assert "kind" in call(server, "GET", "/o/a", fields="*").json()
    for wrong in ("items(", "a,,b", "a)", "&"):
        assert call(server, "GET", "/o/a", fields=wrong).status_code == 400, wrong


def test_default_lists_and_owners_are_in_the_full_projection(server: StorageServer, bucket: Bucket) -> None:
    bucket.blob("a").upload_from_string(b"x")
    plain, full = call(server, "GET", "/o/a").json(), call(server, "GET", "/o/a", projection="full").json()
    assert "acl" not in plain and "owner" not in plain
    number = call(server, "GET", "").json()["projectNumber"]
    assert [(each["entity"], each["role"]) for each in full["acl"]] == [
        (f"project-owners-{number}", "OWNER"),
        (f"project-editors-{number}", "OWNER"),
        (f"project-viewers-{number}", "READER"),
    ]
    assert full["owner"] == {"entity": f"project-owners-{number}"}
    assert full["acl"][0]["projectTeam"] == {"projectNumber": number, "team": "owners"}
    assert len(call(server, "GET", "", projection="full").json()["defaultObjectAcl"]) == 3
    made = call(server, "PUT", "/o/a/acl/user-a@example.com", {"role": "READER"}).json()
    assert (made["email"], made["role"]) == ("a@example.com", "READER")
    assert call(server, "PATCH", "/o/a/acl/user-b@example.com", {"role": "READER"}).status_code == 404


def test_numbers_have_the_types_of_the_api(server: StorageServer, bucket: Bucket) -> None:
    asked: dict[str, Any] = {
        "retentionPolicy": {"retentionPeriod": 10},
        "softDeletePolicy": {"retentionDurationSeconds": 604800},
        "cors": [{"maxAgeSeconds": "5", "method": ["GET"]}],
        "lifecycle": {"rule": [{"action": {"type": "Delete"}, "condition": {"age": "3"}}]},
    }
    found = call(server, "PATCH", "", asked).json()
    assert found["retentionPolicy"]["retentionPeriod"] == "10"
    assert found["softDeletePolicy"]["retentionDurationSeconds"] == "604800"
    assert found["cors"][0]["maxAgeSeconds"] == 5
    assert found["lifecycle"]["rule"][0]["condition"]["age"] == 3
    call(server, "PATCH", "", {"retentionPolicy": None})
    bucket.blob("a").upload_from_string(b"x")
    bucket.blob("a").delete()
    [gone] = call(server, "GET", "/o", softDeleted="true").json()["items"]
    began, ends = (datetime.fromisoformat(gone[name]) for name in ("softDeleteTime", "hardDeleteTime"))
    assert ends - began == timedelta(days=7)


def test_dates_decide_about_downloads(server: StorageServer, bucket: Bucket) -> None:
    bucket.blob("a").upload_from_string(b"x")
    address = f"{server.url}/responses/a"
    modified = requests.get(address, timeout=5).headers["Last-Modified"]
    assert abs(datetime.strptime(modified, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC) - datetime.now(UTC)) < (
        timedelta(minutes=1)
    )
    past = "Sat, 01 Jan 2000 00:00:00 GMT"

    def status(**headers: str) -> int:
        return requests.get(
            address, headers={k.replace("_", "-"): v for k, v in headers.items()}, timeout=5
        ).status_code

    assert [status(If_Modified_Since=modified), status(If_Modified_Since=past)] == [304, 200]
    assert [status(If_Unmodified_Since=modified), status(If_Unmodified_Since=past)] == [200, 412]


def test_errors_have_the_format_of_their_api(server: StorageServer, bucket: Bucket) -> None:
    codes = {}
    for path in ("responses/none", "nowhere/none"):
        answer = requests.get(f"{server.url}/{path}", timeout=5)
        codes[path] = (answer.status_code, ElementTree.fromstring(answer.content).findtext("Code"))
    assert codes == {"responses/none": (404, "NoSuchKey"), "nowhere/none": (404, "NoSuchBucket")}
    media = call(server, "GET", "/o/none", alt="media")
    assert (media.status_code, media.headers["Content-Type"].partition(";")[0]) == (404, "text/plain")
    assert call(server, "GET", "/notificationConfigs/UNKNOWN-1").status_code == 404


def test_an_object_without_content_type_has_none(server: StorageServer, bucket: Bucket) -> None:
    address = f"{server.url}/upload/storage/v1/b/responses/o"
    made = requests.post(address, b"x", params={"uploadType": "media", "name": "a"}, timeout=5).json()
    assert "contentType" not in made and made["timeFinalized"] == made["timeCreated"]
    assert requests.get(f"{server.url}/responses/a", timeout=5).headers["Content-Type"] == "application/octet-stream"


def test_hashes_of_an_encrypted_object_need_its_key(bucket: Bucket) -> None:
    key = os.urandom(32)
    bucket.blob("a", encryption_key=key).upload_from_string(b"x")
    assert bucket.get_blob("a").crc32c is None
    assert bucket.get_blob("a", encryption_key=key).crc32c is not None
    assert [blob.md5_hash for blob in bucket.list_blobs()] == [None]


def test_buckets_are_listed_in_their_project(bucket: Bucket) -> None:
    assert "responses" in [each.name for each in bucket.client.list_buckets()]
    assert "responses" not in [each.name for each in bucket.client.list_buckets(project="another")]


@pytest.mark.parametrize(
    "name", ["ab", "Capital", "-dash", "goog-mine", "192.168.5.4", "a" * 64, "a..b", "un der", None]
)
def test_bucket_names_are_checked(server: StorageServer, name: str | None) -> None:
    answer = requests.post(f"{server.url}/storage/v1/b?project=p", json={"name": name}, timeout=5)
    assert (answer.status_code, "name must have 3 to 63" in answer.text) == (400, True)


def test_metadata_have_limits(server: StorageServer, bucket: Bucket) -> None:
    bucket.blob("a").upload_from_string(b"x")
    assert call(server, "PATCH", "/o/a", {"metadata": {"k": "v" * 8191}}).status_code == 200
    assert call(server, "PATCH", "/o/a", {"metadata": {"k": "v" * 8192}}).status_code == 400
    assert call(server, "PATCH", "/o/a", {"metadata": {"k": 1}}).status_code == 400
    times = ["2030-01-01T00:00:00Z", "2031-01-01T00:00:00Z", "2030-06-01T00:00:00Z", None, "never"]
    statuses = [call(server, "PATCH", "/o/a", {"customTime": each}).status_code for each in times]
    assert statuses == [200, 200, 400, 400, 400]


def test_public_access_prevention_and_uniform_access_are_enforced(server: StorageServer, bucket: Bucket) -> None:
    settings = {"uniformBucketLevelAccess": {"enabled": True}, "publicAccessPrevention": "enforced"}
    call(server, "PATCH", "", {"iamConfiguration": settings})
    policy = bucket.get_iam_policy()
    policy.bindings.append({"role": "roles/storage.objectViewer", "members": {"allUsers"}})
    with pytest.raises(exceptions.PreconditionFailed, match="publicAccessPrevention"):
        bucket.set_iam_policy(policy)
    with pytest.raises(exceptions.BadRequest, match="uniform"):
        bucket.blob("a").upload_from_string(b"x", predefined_acl="projectPrivate")
    bucket.blob("a").upload_from_string(b"x")
    assert call(server, "PUT", "/o/a/acl/user-a@example.com", {"role": "READER"}).status_code == 400
    assert "acl" not in call(server, "GET", "/o/a", projection="full").json()
