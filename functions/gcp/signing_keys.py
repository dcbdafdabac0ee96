"""The signing keys that verify tokens: cached for five minutes, and fetched within limits on time, size and frequency.

Every failure of a fetch is transient and raises PyJWKClientConnectionError.
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
"""Timeout in seconds for a whole fetch. A stopping worker has ten seconds for all its work."""

NEGATIVE_CACHE_S = 10.0
"""Negative-cache time in seconds: after a failed fetch, no new fetch is made for this long."""

MAX_BYTES, MAX_KEYS = 1_048_576, 100
"""Maximum bytes of a key set, and maximum keys in it. Google's has 2 or 3 keys in 2 kB; parsing a key takes 0.1 ms."""


class KeySet(jwt.PyJWKClient):
    """The key set at a URL. Callable from any thread; only one fetch runs at a time. `kty`: the type of its keys."""

    def __init__(self, url: str, kty: str = "RSA") -> None:
        super().__init__(url)
        self._kty = kty
        self._retry_at = 0.0
        self._fetch = threading.Thread()

    def fetch_data(self) -> jwt.PyJWKSet:
        """Fetch the keys. Raises PyJWKClientConnectionError, also within NEGATIVE_CACHE_S after a failed fetch.

        PyJWKClient calls it when its cache has expired or lacks a key.
        """
        if time.monotonic() < self._retry_at:
            raise jwt.PyJWKClientConnectionError(f"a fetch of the key set failed less than {NEGATIVE_CACHE_S:g} s ago")
        try:
            keys = _parse(self._download_in_time(), self._kty)
        except Exception as exc:
            self._retry_at = time.monotonic() + NEGATIVE_CACHE_S
            raise jwt.PyJWKClientConnectionError(f"the key set cannot be fetched: {exc!r}") from exc
        self._last_successful_fetch = time.monotonic()
        return keys

    def _download_in_time(self) -> bytes:
        """Fetch the document in a thread, because a socket's timeout restarts with each byte that arrives."""
        if self._fetch.is_alive():
            raise TimeoutError("an earlier fetch still runs")
        done: Future[bytes] = Future()
        self._fetch = threading.Thread(target=_download, args=(self.uri, done), name="key-set", daemon=True)
        self._fetch.start()
        return done.result(TIMEOUT_S)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Follow no redirect, because the configured address decides which tokens are valid."""


def _download(url: str, done: Future[bytes]) -> None:
    until = time.monotonic() + TIMEOUT_S
    data = bytearray()
    try:
        with urllib.request.build_opener(_NoRedirects).open(url, timeout=TIMEOUT_S) as reply:
            while piece := reply.read1(MAX_BYTES):
                data += piece
                if len(data) > MAX_BYTES:
                    raise ValueError(f"it is larger than {MAX_BYTES:,} bytes")
                if time.monotonic() > until:
                    raise TimeoutError(f"it took more than {TIMEOUT_S:g} s")
        done.set_result(bytes(data))
    except Exception as exc:
        if isinstance(exc, urllib.error.HTTPError):
            exc.close()  # the exception holds the connection open
        done.set_exception(exc)


def _parse(document: bytes, kty: str) -> jwt.PyJWKSet:
    """Return the keys of this type that can sign. A malformed document raises an exception of any kind."""
    found = (key for key in json.loads(document)["keys"] if isinstance(key, dict))
    keys = [key for key in found if key.get("kty") == kty and key.get("use", "sig") == "sig" and key.get("kid")]
    if len(keys) > MAX_KEYS:
        raise ValueError(f"it has {len(keys):,} keys; at most {MAX_KEYS} are read")
    return jwt.PyJWKSet(keys)
