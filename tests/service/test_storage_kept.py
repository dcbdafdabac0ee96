"""A data folder of the Storage server: acknowledged objects survive a kill."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from google.cloud import storage

from infra.local.ports import free_port, listens
from infra.local.storage.server import StorageServer
from tests.waiting import until

MIB = 1 << 20


@contextmanager
def running(root: Path, folder: Path) -> Iterator[str]:
    """A server in a separate process, killed with SIGKILL at the end. Yields its address."""
    port = free_port()
    command = [sys.executable, "-m", "infra.local", "storage", "--port", str(port), "--data-dir", str(folder)]
    process = subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE)
    try:
        assert until(lambda: listens(port) or process.poll() is not None, 30)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.communicate()


def test_acknowledged_objects_survive_a_kill(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    big = os.urandom(3 * MIB)
    with running(root, tmp_path) as url:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        client = storage.Client(project="a-project")
        bucket = client.bucket("kept")
        bucket.versioning_enabled, bucket.labels = True, {"a": "b"}
        client.create_bucket(bucket).notification("notified", payload_format="NONE").create()
        for number in range(50):
            blob = bucket.blob(f"{number:02}")
            blob.metadata = {"number": f"{number}"}
            blob.upload_from_string(b"%d" % number)
        blob.metadata = {"more": "said"}
        blob.patch()
        bucket.blob("00").upload_from_string(big)
        bucket.blob("01").delete()
        before = [blob._properties for blob in bucket.list_blobs(versions=True)]
        address = f"{url}/upload/storage/v1/b/kept/o?uploadType=resumable&name=resumed"
        upload = requests.post(address, json={}, timeout=5).headers["Location"].removeprefix(url)
        begun = requests.put(url + upload, big[:MIB], headers={"Content-Range": f"bytes 0-{MIB - 1}/*"}, timeout=5)
        assert begun.status_code == 308
        client.close()
    with running(root, tmp_path) as url:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        client = storage.Client(project="a-project")
        bucket = client.get_bucket("kept")
        assert (bucket.labels, len(list(bucket.list_notifications()))) == ({"a": "b"}, 1)
        after = [blob._properties for blob in bucket.list_blobs(versions=True)]
        linked = ("selfLink", "mediaLink")  # of another port
        plain = [[{k: v for k, v in each.items() if k not in linked} for each in listed] for listed in (before, after)]
        assert len(after) == 51
        assert plain[0] == plain[1]
        assert bucket.blob("00").download_as_bytes() == big
        assert bucket.blob("49").download_as_bytes() == b"49"
        asked = requests.put(url + upload, b"", headers={"Content-Range": "bytes */*"}, timeout=5)
        assert asked.headers["Range"] == f"bytes=0-{MIB - 1}"
        last = {"Content-Range": f"bytes {MIB}-{3 * MIB - 1}/{3 * MIB}"}
        assert requests.put(url + upload, big[MIB:], headers=last, timeout=5).status_code == 200
        assert bucket.blob("resumed").download_as_bytes() == big
        client.close()


def test_bytes_of_unfinished_uploads_are_deleted(tmp_path: Path) -> None:
    with StorageServer(names=["b"], data_dir=tmp_path) as server:
        address = f"{server.url}/upload/storage/v1/b/b/o?uploadType=media&name=a"
        assert requests.post(address, bytes(MIB), timeout=5).status_code == 200
        refused = requests.post(f"{address}&ifGenerationMatch=0", bytes(MIB), timeout=5)
        assert refused.status_code == 412
        assert len(list((tmp_path / "bodies").iterdir())) == 1
    (tmp_path / "bodies" / "spool-of-a-killed-server").write_bytes(b"x")
    with StorageServer(names=["b"], data_dir=tmp_path) as server:
        assert len(list((tmp_path / "bodies").iterdir())) == 1
        assert requests.delete(f"{server.url}/storage/v1/b/b/o/a", timeout=5).status_code == 204
        assert list((tmp_path / "bodies").iterdir()) == []


def test_a_data_folder_serves_one_server_at_a_time(tmp_path: Path) -> None:
    with (
        StorageServer(names=["b"], data_dir=tmp_path),
        pytest.raises(OSError, match=f"{tmp_path} cannot be used, perhaps by two servers"),
    ):
        StorageServer(data_dir=tmp_path)
