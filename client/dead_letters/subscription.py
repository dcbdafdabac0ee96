"""The subscription that holds dead letters: each is leased while a command runs, and then available again or acked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

from client.dead_letters.dead_letter import DeadLetter
from client.gcp import CALL_TIMEOUT_S, RETRY_S, pubsub_retry
from client.text import plain

LEASE_S = 60
"""Seconds of a lease, which a thread renews. After a kill, the dead letters are available again so much later."""

WAIT_S = 5.0
"""Seconds without another dead letter after which there are no more."""

PAGE = 50
"""Dead letters in memory at the same time, each of 10 MB at most."""

_MAX_REPEATS = 3
"""Pulls in a row that bring only known dead letters. Their leases were lost, and the same ones would come forever."""

_MAX_ACK_IDS = 500
"""Ack ids in one call: a call has at most 512 KiB."""

ADVICE = {
    "NotFound": "; check --project, --subscription and --topic",
    "PermissionDenied": "; docs/dead-letters.md lists the roles for it",
}
"""What to do after an error of the broker, by the name of its class."""


class DeadLetterSubscription:
    """Leases dead letters; a context manager, at whose end those that were not acked are available again at once.

    A thread renews the leases. `path` is the full name, and `log` prints a message. Raises GoogleAPIError.
    """

    def __init__(self, path: str, log: Callable[[str], None]) -> None:
        self.path, self._log = path, log
        self.until = f"nothing arrives for {WAIT_S:g} s"
        self._lock = threading.Lock()
        self._held: dict[str, str] = {}
        self._seen: set[str] = set()
        self._acked: set[str] = set()
        self._ended = threading.Event()
        self._warned = False

    def __enter__(self) -> Self:
        from functions.gcp.subscriber import subscriber  # imports Google's library, which takes a moment

        self._client = subscriber()
        self._renewer = threading.Thread(target=self._renew, daemon=True)
        self._renewer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._renewer.join()
        try:
            self._modify(0)
        except Exception as exc:
            self._log(f"leases could not be ended ({plain(exc)}): dead letters are available again in {LEASE_S} s")
        finally:
            self._client.transport.close()

    def pages(self, size: int = PAGE) -> Iterator[list[DeadLetter]]:
        """Yield every dead letter once, in pages of at most `size`, until none arrives for WAIT_S."""
        repeats = 0
        while repeats < _MAX_REPEATS and (received := self._pull(size)):
            page = [DeadLetter.read(each.message) for each in received if each.message.message_id not in self._seen]
            with self._lock:
                self._held |= {each.message.message_id: each.ack_id for each in received}
            self._seen |= {each.message_id for each in page}
            self.ack(self._acked & self._held.keys())  # delivered again all the same
            self._modify(LEASE_S, [each.ack_id for each in received])
            self._warn(received)
            repeats = 0 if page else repeats + 1
            if page:
                yield page

    def ack(self, message_ids: Iterable[str]) -> None:
        """Remove the dead letters with these message ids, which are leased, for good."""
        with self._lock:
            held = [each for each in message_ids if each in self._held]
            ids = [self._held.pop(each) for each in held]
        self._acked |= {*held}
        for some in _chunks(ids):
            self._client.acknowledge(subscription=self.path, ack_ids=some, retry=pubsub_retry(), timeout=CALL_TIMEOUT_S)

    def delete(self, message_ids: Iterable[str]) -> None:
        """Remove dead letters for good, as `ack` does."""
        self.ack(message_ids)

    def _pull(self, size: int) -> list[Any]:
        """Pull up to `size` dead letters. None means that there are none, and not that the broker is silent."""
        from google.api_core.exceptions import DeadlineExceeded, InternalServerError, ServiceUnavailable
        from google.api_core.retry import Retry, if_exception_type

        from functions.gcp.subscriber import is_reachable

        retry = Retry(if_exception_type(InternalServerError, ServiceUnavailable), initial=0.1, timeout=RETRY_S)
        request = {"subscription": self.path, "max_messages": size}
        try:
            return list(self._client.pull(request, retry=retry, timeout=WAIT_S).received_messages)
        except DeadlineExceeded:
            if not is_reachable(self._client, self.path, CALL_TIMEOUT_S):
                raise
            return []

    def _renew(self) -> None:
        while not self._ended.wait(LEASE_S / 3):
            try:
                self._modify(LEASE_S)
            except Exception as exc:
                self._log(f"leases could not be renewed ({plain(exc)}): other readers may receive the dead letters")

    def _modify(self, seconds: int, ids: list[str] | None = None) -> None:
        if ids is None:
            with self._lock:
                ids = list(self._held.values())
        for some in _chunks(ids):
            self._client.modify_ack_deadline(
                subscription=self.path,
                ack_ids=some,
                ack_deadline_seconds=seconds,
                retry=pubsub_retry(),
                timeout=CALL_TIMEOUT_S,
            )

    def _warn(self, received: list[Any]) -> None:
        """Warn once where a look counts: Pub/Sub states attempts only under a dead-letter policy."""
        attempts = max(each.delivery_attempt for each in received)
        if attempts and not self._warned:
            self._warned = True
            name = self.path.rpartition("/")[2]
            self._log(
                f"warning: {name} has a dead-letter policy of its own; each look counts as a delivery attempt "
                f"(up to {attempts} so far), and at its limit a dead letter is moved on"
            )


def _chunks(ids: list[str]) -> Iterator[list[str]]:
    return (ids[start : start + _MAX_ACK_IDS] for start in range(0, len(ids), _MAX_ACK_IDS))
