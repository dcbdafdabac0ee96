"""Artifacts from a bucket, with the stock Google client and our Storage server in this process."""

from __future__ import annotations

import json
import re
import resource
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import Forbidden, ServiceUnavailable
from google.cloud import storage

from infra.local.storage.server import StorageServer
from model.artifact.fetch import fetch_artifact
from model.artifact.load import read_artifact
from model.artifact.manifest import GOLDEN, MANIFEST
from model.errors import ArtifactError

SHIPPED = Path(__file__).resolve().parents[2] / "model" / "artifacts" / "fashion-mnist"
URI = "gs://models/fashion-mnist/live"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[storage.Bucket]:
    """A bucket with the shipped artifact under fashion-mnist/live, and nothing else."""
    with StorageServer(names=["models"]) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        with closing(storage.Client(project="test")) as client:
            bucket = client.bucket("models")
            for path in (MANIFEST, GOLDEN, *json.loads((SHIPPED / MANIFEST).read_text())["files"]):
                put(bucket, path, (SHIPPED / path).read_bytes())
            yield bucket


def put(bucket: storage.Bucket, path: str, data: bytes) -> None:
    bucket.blob(f"fashion-mnist/live/{path}").upload_from_string(data)


def contents(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir())


def test_a_local_folder_is_used_directly(tmp_path: Path) -> None:
    assert fetch_artifact(str(SHIPPED), tmp_path / "cache") == SHIPPED
    assert not (tmp_path / "cache").exists()


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="/nowhere does not exist"):
        fetch_artifact(str(tmp_path / "nowhere"), tmp_path)


@pytest.mark.parametrize("uri", ["s3://bucket/model", "gs://", "gs://models", "gs://models/", "gs:///prefix"])
def test_an_invalid_bucket_address_is_refused(tmp_path: Path, uri: str) -> None:
    with pytest.raises(ArtifactError, match=r"must (be a folder or )?look like gs://bucket/prefix"):
        fetch_artifact(uri, tmp_path)


@pytest.mark.parametrize("uri", [URI, URI + "/"])
def test_a_bucket_is_downloaded_whole(bucket: storage.Bucket, tmp_path: Path, uri: str) -> None:
    folder = fetch_artifact(uri, tmp_path)
    artifact, shipped = read_artifact(folder), read_artifact(SHIPPED)
    assert folder.parent == tmp_path
    assert (artifact.digest, artifact.signature) == (shipped.digest, shipped.signature)
    assert contents(tmp_path) == [folder.name]


def test_an_artifact_is_downloaded_once(bucket: storage.Bucket, tmp_path: Path) -> None:
    first = fetch_artifact(URI, tmp_path)
    bucket.blob("fashion-mnist/live/model.tflite").delete()
    assert fetch_artifact(URI, tmp_path) == first


@pytest.mark.parametrize("gone", [False, True])
def test_a_planted_cache_folder_is_refused(bucket: storage.Bucket, tmp_path: Path, gone: bool) -> None:
    """In a cache that others can write: a whole artifact of theirs under the name of ours."""
    manifest = fetch_artifact(URI, tmp_path) / MANIFEST
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"version": "0"}))
    assert read_artifact(manifest.parent).version == "0", "it is whole"
    if gone:
        manifest.unlink()
    with pytest.raises(ArtifactError, match="the cache has been changed; delete it"):
        fetch_artifact(URI, tmp_path)


def test_another_version_gets_its_own_folder(bucket: storage.Bucket, tmp_path: Path) -> None:
    first = fetch_artifact(URI, tmp_path)
    manifest = json.loads((SHIPPED / MANIFEST).read_text())
    put(bucket, MANIFEST, json.dumps(manifest | {"version": "9.9.9"}).encode())
    second = fetch_artifact(URI, tmp_path)
    assert second != first
    assert read_artifact(second).version == "9.9.9"
    assert read_artifact(first).version == manifest["version"]


def test_two_concurrent_downloads_get_the_same_complete_folder(bucket: storage.Bucket, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: fetch_artifact(URI, tmp_path), range(2))
    assert first == second
    assert read_artifact(first)
    assert contents(tmp_path) == [first.name]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data[:100], "is truncated: 100 of"),
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "is altered"),
        (lambda data: data + b"more", "is altered"),
    ],
)
def test_a_file_that_differs_from_the_manifest_is_refused(
    bucket: storage.Bucket, tmp_path: Path, change: Any, said: str
) -> None:
    put(bucket, "model.tflite", change((SHIPPED / "model.tflite").read_bytes()))
    with pytest.raises(ArtifactError) as refusal:
        fetch_artifact(URI, tmp_path)
    assert re.match(f"{URI}(/|: )model.tflite", str(refusal.value))
    assert said in str(refusal.value)
    assert contents(tmp_path) == []


@pytest.mark.parametrize("path", [MANIFEST, GOLDEN, "labels.txt", "saved_model/saved_model.pb"])
def test_a_missing_object_is_named(bucket: storage.Bucket, tmp_path: Path, path: str) -> None:
    bucket.blob(f"fashion-mnist/live/{path}").delete()
    with pytest.raises(ArtifactError, match=f"^{URI}/{path} is missing"):
        fetch_artifact(URI, tmp_path)
    assert contents(tmp_path) == []


@pytest.mark.parametrize("uri", ["gs://no-such-bucket/prefix", "gs://models/elsewhere"])
def test_a_missing_bucket_or_prefix_is_named(bucket: storage.Bucket, tmp_path: Path, uri: str) -> None:
    with pytest.raises(ArtifactError, match=rf"^{uri}/manifest\.json is missing"):
        fetch_artifact(uri, tmp_path)


def test_a_manifest_with_paths_out_of_the_folder_is_refused(bucket: storage.Bucket, tmp_path: Path) -> None:
    manifest = json.loads((SHIPPED / MANIFEST).read_text())
    manifest["files"]["../../climbed"] = manifest["files"]["labels.txt"]
    put(bucket, MANIFEST, json.dumps(manifest).encode())
    with pytest.raises(ArtifactError, match=f"^{URI}: .*only relative paths"):
        fetch_artifact(URI, tmp_path / "cache")
    assert not (tmp_path / "climbed").exists()


def test_a_storage_failure_is_not_an_artifact_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unavailable(*_: object) -> None:
        raise ServiceUnavailable("try again")

    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    monkeypatch.setattr(storage.Blob, "download_to_file", unavailable)
    with pytest.raises(ServiceUnavailable):
        fetch_artifact(URI, tmp_path)
    assert contents(tmp_path) == []


def test_an_object_without_read_permission_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def forbidden(*_: object) -> None:
        raise Forbidden("storage.objects.get denied")

    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    monkeypatch.setattr(storage.Blob, "download_to_file", forbidden)
    with pytest.raises(ArtifactError, match=f"^{URI}/{MANIFEST} is not readable: .*roles/storage.objectViewer"):
        fetch_artifact(URI, tmp_path)
    assert contents(tmp_path) == []


def test_an_object_larger_than_its_manifest_entry_is_not_downloaded(bucket: storage.Bucket, tmp_path: Path) -> None:
    put(bucket, "labels.txt", b"x" * 3_000_000)
    with pytest.raises(ArtifactError, match=f"^{URI}/labels.txt is altered: it has more than the 76 bytes"):
        fetch_artifact(URI, tmp_path)
    put(bucket, MANIFEST, b" " * 10_000_001)
    with pytest.raises(ArtifactError, match=f"^{URI}/{MANIFEST} is altered: it has more than the 10,000,000 bytes"):
        fetch_artifact(URI, tmp_path)
    assert contents(tmp_path) == []


@pytest.mark.parametrize("cache", ["file", "file/below", "/proc/artifacts"])
def test_a_cache_that_cannot_be_written_is_reported(bucket: storage.Bucket, tmp_path: Path, cache: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match=r"^ARTIFACT_CACHE is .*; it cannot be written .*: name a folder"):
        fetch_artifact(URI, tmp_path / cache)


def test_a_full_cache_disk_is_reported(bucket: storage.Bucket, tmp_path: Path) -> None:
    """Limits the size of files that this process writes. Like a full disk, it fails during the write."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(ArtifactError, match=r"^ARTIFACT_CACHE is .* \(File too large\)"):
            fetch_artifact(URI, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert contents(tmp_path) == []
