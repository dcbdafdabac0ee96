"""The key set that verifies tokens: cached for five minutes, fetched within limits, with a pause after a failure.

Whatever is wrong with the answer of its server is transient: it is raised as PyJWKClientConnectionError.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import Future
from typing import Any

import jwt

TIMEOUT_S = 5.0
"""Seconds for the whole fetch: a stopping worker has ten."""

REST_S = 10.0
"""Negative-cache time, seconds: after a failed fetch, no new fetch is made for this long."""

MAX_BYTES, MAX_KEYS = 1_048_576, 100
"""Most bytes of a key set, and most keys in it. Google's has 2 or 3 keys in 2 kB; a key takes 0.1 ms to make."""


class KeySet(jwt.PyJWKClient):
    """The keys at a URL. Callable from any thread; one thread fetches at a time."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._rests_until = 0.0
        self._fetch = threading.Thread()

    def fetch_data(self) -> jwt.PyJWKSet:
        """Fetch the keys. Raises PyJWKClientConnectionError, also during the pause after a failed fetch."""
        if time.monotonic() < self._rests_until:
            raise jwt.PyJWKClientConnectionError("the key set was out of reach a moment ago")
        try:
            keys = _parse(self._downloaded())
        except Exception as exc:
            self._rests_until = time.monotonic() + REST_S
            raise jwt.PyJWKClientConnectionError(f"the key set cannot be had: {exc!r}") from exc
        self._last_successful_fetch = time.monotonic()
        return keys

    def _downloaded(self) -> bytes:
        """The document, fetched in a thread: the timeout of a socket starts again with each byte."""
        if self._fetch.is_alive():
            raise TimeoutError("an earlier fetch is not over")
        done: Future[bytes] = Future()
        self._fetch = threading.Thread(target=_download, args=(self.uri, done), name="key-set", daemon=True)
        self._fetch.start()
        return done.result(TIMEOUT_S)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Follow no redirect: this URL decides who is authorized."""


def _download(url: str, done: Future[bytes]) -> None:
    until = time.monotonic() + TIMEOUT_S
    data = bytearray()
    try:
        with urllib.request.build_opener(_NoRedirects).open(url, timeout=TIMEOUT_S) as reply:
            while piece := reply.read1(MAX_BYTES):
                data += piece
                if len(data) > MAX_BYTES:
                    raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
                if time.monotonic() > until:
                    raise TimeoutError(f"it took more than {TIMEOUT_S:g} s")
        done.set_result(bytes(data))
    except Exception as exc:
        if isinstance(exc, urllib.error.HTTPError):
            exc.close()  # it holds the connection
        done.set_exception(exc)


def _parse(document: bytes) -> jwt.PyJWKSet:
    """The keys that can sign a push. Raises exceptions of several kinds for a document without keys."""
    found = (key for key in json.loads(document)["keys"] if isinstance(key, dict))
    keys = [key for key in found if key.get("kty") == "RSA" and key.get("use", "sig") == "sig" and key.get("kid")]
    if len(keys) > MAX_KEYS:
        raise ValueError(f"it has {len(keys):,} keys; at most {MAX_KEYS} are read")
    return jwt.PyJWKSet(keys)
