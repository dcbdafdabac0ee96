"""The memory of the Storage server while it receives 200 MB in one piece."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.cloud import storage

from infra.local.ports import free_port
from tests.bench.parts import process, until_listening

SIZE = 200 << 20
MOST_KB = 100_000


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The process id of a Storage server, which the clients of this process find."""
    port = free_port()
    with process([sys.executable, "-m", "infra.local", "storage", "--port", str(port)], {}) as started:
        until_listening(port)
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        yield started.pid


@pytest.mark.parametrize("kind", ["resumable", "multipart"])
def test_200_mb_in_one_piece_take_at_most_100_mb_of_memory(
    server: int, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = storage.Client(project="p").create_bucket("large")
    bucket.blob("small").upload_from_string(b"x")
    if kind == "multipart":
        monkeypatch.setattr("google.cloud.storage.blob._MAX_MULTIPART_SIZE", SIZE)
    file = tmp_path / "large"
    with file.open("wb") as sparse:
        sparse.truncate(SIZE)
    Path(f"/proc/{server}/clear_refs").write_text("5")  # the peak is measured from now on (Linux)
    before = peak_kb(server)
    blob = bucket.blob("large", chunk_size=SIZE)
    blob.upload_from_filename(file)
    assert blob.size == SIZE
    assert peak_kb(server) - before < MOST_KB


def peak_kb(pid: int) -> int:
    """The largest resident memory of a process so far, in kB (Linux)."""
    [value] = re.findall(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(value)
