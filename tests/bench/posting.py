"""Images posted to the HTTP endpoint, and the times of their responses."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import Future, ThreadPoolExecutor, wait

import urllib3

from tests.bench.parts import GIVE_UP_S

THREADS = 32
"""Limits concurrent posts; each thread waits for its response."""


class Posting:
    """Posts to `url` by threads of its own, over connections that are kept as long as the server keeps them."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connections = urllib3.PoolManager(maxsize=THREADS, retries=False, timeout=GIVE_UP_S)
        self._threads = ThreadPoolExecutor(THREADS, "posting")
        self._asked: dict[str, Future[None]] = {}
        self.heard: dict[str, float] = {}
        self.last = b""

    def send(self, image: bytes) -> str:
        """Have an image posted as soon as a thread is free; gives the request's id."""
        request_id = uuid.uuid4().hex
        self._asked[request_id] = self._threads.submit(self._post, image, request_id)
        return request_id

    def wait(self, ids: set[str]) -> float:
        """The moment at which the last of these was answered. Raises TimeoutError, or what went wrong."""
        asked = [self._asked.pop(request_id) for request_id in ids if request_id in self._asked]
        if left := wait(asked, GIVE_UP_S).not_done:
            raise TimeoutError(f"{len(left)} of {len(ids)} posts were not answered")
        for each in asked:
            each.result()
        return max(self.heard[request_id] for request_id in ids)

    def close(self) -> None:
        """Let the connections go, when nothing is under way."""
        self._threads.shutdown()
        self._connections.clear()

    def _post(self, image: bytes, request_id: str) -> None:
        response = self._connections.request("POST", self._url, body=image)
        if response.status != 200:
            raise OSError(f"the server answered {response.status}: {response.data[:300].decode(errors='replace')}")
        self.heard[request_id], self.last = time.perf_counter(), response.data
