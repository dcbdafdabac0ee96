"""Keeps the lease of a message for hours, and settles the message."""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import Any, Self

from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.api_core.retry import Retry

log = logging.getLogger("functions.retrain")

_CALL_S = 30.0
_RETRY = Retry(timeout=_CALL_S)


class Lease:
    """The lease of one message; a context manager that extends it from a thread, and nacks what was not acked.

    It is extended after a quarter of `lease_s`, so that a few calls may fail.
    """

    def __init__(self, client: Any, subscription: str, ack_id: str, lease_s: int) -> None:
        self._client, self._lease_s = client, lease_s
        self._request: dict[str, Any] = {"subscription": subscription, "ack_ids": [ack_id]}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._extend, name="lease", daemon=True)
        self._is_acked = False

    def __enter__(self) -> Self:
        self._set(self._lease_s)
        self._thread.start()
        return self

    def ack(self) -> None:
        """Ack the message. A redelivery after a failed ack is answered again."""
        self._end()
        try:
            self._client.acknowledge(request=self._request, retry=_RETRY, timeout=_CALL_S)
            self._is_acked = True
        except (GoogleAPICallError, RetryError) as exc:
            log.warning("a request could not be acked and will be answered again: %s", exc)

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        if not self._is_acked:
            self._set(0)

    def _end(self) -> None:
        self._ended.set()
        self._thread.join()

    def _extend(self) -> None:
        while not self._ended.wait(self._lease_s / 4):
            self._set(self._lease_s)

    def _set(self, deadline_s: int) -> None:
        request = {**self._request, "ack_deadline_seconds": deadline_s}
        try:
            self._client.modify_ack_deadline(request=request, retry=_RETRY, timeout=_CALL_S)
        except (GoogleAPICallError, RetryError) as exc:
            log.warning("the lease of a request could not be changed to %s s: %s", deadline_s, exc)
