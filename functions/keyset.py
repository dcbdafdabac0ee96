"""The key set that tokens are checked with: kept for five minutes; while it is away, not asked for by every caller."""

from __future__ import annotations

import time
from typing import Any

import jwt

TIMEOUT_S = 10.0

REST_S = 10.0
"""After a failure nobody asks for so long: whoever sends junk would otherwise have it asked for each time."""


class KeySet(jwt.PyJWKClient):
    """Keys at an address. Callable from any thread; the fetches are one after the other."""

    def __init__(self, url: str) -> None:
        super().__init__(url, timeout=TIMEOUT_S)
        self._rests_until = 0.0

    def fetch_data(self) -> Any:
        """Ask the address. Raises PyJWKClientConnectionError also while it rests; keys that are kept do without it."""
        if time.monotonic() < self._rests_until:
            raise jwt.PyJWKClientConnectionError("the key set was out of reach a moment ago")
        try:
            return super().fetch_data()
        except Exception:
            self._rests_until = time.monotonic() + REST_S
            raise
