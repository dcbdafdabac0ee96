"""Downloads from a bucket with wrong metadata: never more bytes than the image limit."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Collection, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from google.api_core.exceptions import RetryError

from functions.gcp.object_store import BucketObjects
from functions.messages.contract import ObjectRef
from functions.runtime.payload_memory import PayloadBudget
from model.errors import ImageTooLarge
from model.images.memory_budget import MemoryBudget

LIMIT = 1_000_000
HUGE = 5_000_000_000
_BLOCK = bytes(65_536)


def fetched(allowed: Collection[str], ref: ObjectRef, max_bytes: int) -> bytes:
    with BucketObjects("p", allowed, PayloadBudget(40_000_000)).fetch(ref, max_bytes) as data:
        return data


class Bucket(ThreadingHTTPServer):
    """Says that every object has `said` bytes, serves `size` zeros or as many as are taken, and counts them.

    It rests `pause_s` after each 64 KB, and `slow_s` before it says how large an object is; `broken`: it hangs up on
    downloads.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.said, self.size, self.sent, self.body = HUGE, HUGE, 0, b""
        self.pause_s = self.slow_s = 0.0
        self.broken, self.downloads = False, 0


class _Handler(BaseHTTPRequestHandler):
    server: Bucket

    def do_GET(self) -> None:
        if self.path.startswith("/download"):
            self.server.downloads += 1
            if not self.server.broken:
                self.send_response(200)
                self._download()
            return
        time.sleep(self.server.slow_s)
        self.send_response(200)
        body = json.dumps({"name": "o", "bucket": "b", "generation": "1", "size": str(self.server.said)}).encode()
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _download(self) -> None:
        if self.server.body:
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(self.server.body) or self.server.size))
        self.end_headers()
        try:
            self.server.sent = 0
            self.wfile.write(self.server.body)
            while not self.server.body and self.server.sent < self.server.size:
                self.wfile.write(_BLOCK)
                self.server.sent += len(_BLOCK)
                time.sleep(self.server.pause_s)
        except (BrokenPipeError, ConnectionResetError):
            return

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    with Bucket() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_port}")
        yield server
        server.shutdown()
        thread.join()


def test_a_huge_object_is_refused_before_it_is_downloaded(bucket: Bucket) -> None:
    with pytest.raises(ImageTooLarge, match="is 5,000,000,000 bytes; at most 1,000,000 are allowed"):
        fetched({"b"}, ObjectRef("b", "o", 1), LIMIT)
    assert bucket.sent == 0


def test_the_size_in_a_reference_is_not_trusted(bucket: Bucket) -> None:
    with pytest.raises(ImageTooLarge, match="is 5,000,000,000 bytes; at most 1,000,000 are allowed"):
        fetched({"b"}, ObjectRef("b", "o", 1, size=9), LIMIT)
    assert bucket.sent < 50 * LIMIT, "no more than was on the way"


def test_an_object_that_unpacks_to_a_huge_one_is_refused(bucket: Bucket) -> None:
    bucket.body = gzip.compress(bytes(200 * LIMIT))
    bucket.said = len(bucket.body)
    with pytest.raises(ImageTooLarge, match="more than 1,000,000 bytes"):
        fetched({"b"}, ObjectRef("b", "o", 1), LIMIT)


def test_an_object_that_is_larger_than_the_reference_says_is_whole(bucket: Bucket) -> None:
    bucket.said = bucket.size = 48 * len(_BLOCK)
    assert len(fetched({"b"}, ObjectRef("b", "o", 1, size=9), 4 * LIMIT)) == bucket.size


def test_an_object_that_unpacks_to_more_than_it_weighs_is_whole(bucket: Bucket) -> None:
    bucket.body = gzip.compress(bytes(3 * LIMIT))
    bucket.said = len(bucket.body)
    assert fetched({"b"}, ObjectRef("b", "o", 1), 4 * LIMIT) == bytes(3 * LIMIT)


def test_memory_for_a_download_is_released_when_it_is_abandoned(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.runtime.payload_memory.MemoryBudget", partial(MemoryBudget, patience_s=0.1))
    bucket.size = bucket.said = 48 * len(_BLOCK)
    payloads = PayloadBudget(4 * LIMIT)
    with BucketObjects("p", {"b"}, payloads).fetch(ObjectRef("b", "o", 1), 4 * LIMIT):
        with pytest.raises(TimeoutError), payloads.reserve(2 * LIMIT):
            pass
        with payloads.reserve(LIMIT - 1):
            pass
    with payloads.reserve(2 * LIMIT):
        pass


def test_an_object_within_the_limit_is_read_completely(bucket: Bucket) -> None:
    bucket.body = gzip.compress(bytes(LIMIT))
    bucket.said = len(bucket.body)
    assert fetched({"b"}, ObjectRef("b", "o", 1), LIMIT) == bytes(LIMIT)


def test_a_download_with_progress_may_exceed_the_read_timeout(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("functions.gcp.object_store.FETCH_TIMEOUT_S", 1.5)
    bucket.said = bucket.size = 300 * len(_BLOCK)
    bucket.pause_s = 0.006
    began = time.monotonic()
    assert len(fetched({"b"}, ObjectRef("b", "o", 1), 20_000_000)) == bucket.size
    assert time.monotonic() - began > 1.6


@pytest.mark.timing
def test_a_silent_download_times_out(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("functions.gcp.object_store.FETCH_TIMEOUT_S", 0.3)
    monkeypatch.setattr("functions.gcp.object_store.FETCH_RETRY_S", 0.1)
    bucket.slow_s = 5.0
    began = time.monotonic()
    with pytest.raises(RetryError):
        fetched({"b"}, ObjectRef("b", "o", 1), LIMIT)
    assert time.monotonic() - began < 3


def test_both_calls_share_the_time_for_retries(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("functions.gcp.object_store.FETCH_TIMEOUT_S", 30.0)
    monkeypatch.setattr("functions.gcp.object_store.FETCH_RETRY_S", 1.5)
    bucket.said, bucket.size, bucket.slow_s, bucket.broken = 9, 0, 1.5, True
    with pytest.raises(RetryError):
        fetched({"b"}, ObjectRef("b", "o", 1), LIMIT)
    assert bucket.downloads == 1
