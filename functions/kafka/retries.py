"""The messages that replace a nacked one: on the delay topic after a transient failure, or as a dead letter."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any

from functions.kafka.message_headers import ATTEMPTS, NOT_BEFORE, OWN, headers_of, raw_headers, whole_number
from functions.kafka.publisher import OutMessage
from functions.messages.contract import encode_time
from functions.messages.request_decoder import DEAD_LETTER_ATTEMPTS

_SOURCE = "CloudPubSubDeadLetterSource"
"""The start of the names of the attributes that Pub/Sub adds to a dead letter: readers know dead letters by them."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a message is delivered, and after how many seconds again: twice as many after each failure."""

    max_attempts: int
    min_backoff_s: float
    max_backoff_s: float

    def backoff_s(self, attempt: int) -> float:
        """Seconds from the failure of this attempt, the first of which is 1, to the next delivery."""
        return min(self.max_backoff_s, self.min_backoff_s * 2.0 ** min(attempt - 1, 60))


def retry_of(message: Any, topic: str, attempts: int, wait_s: float) -> OutMessage:
    """The message on the delay topic, to be delivered in `wait_s` seconds. `attempts`: deliveries so far."""
    own = {ATTEMPTS: str(attempts), NOT_BEFORE: str(int(1000 * (time.time() + wait_s)))}
    _, published_ms = message.timestamp()
    return OutMessage(topic, message.key(), message.value(), [*_kept(message), *headers_of(own)], max(0, published_ms))


def dead_letter_of(message: Any, topic: str, group: str, reason: str, attempts: int) -> OutMessage:
    """The dead letter: key, headers and value of the message, and why it died."""
    kind, published_ms = message.timestamp()
    added = {
        DEAD_LETTER_ATTEMPTS: str(attempts),
        f"{_SOURCE}Subscription": group,
        **({f"{_SOURCE}TopicPublishTime": _time(published_ms)} if kind else {}),
        "dead_letter_reason": reason,
        "dead_letter_attempts": str(attempts),
        "dead_letter_topic": message.topic(),
        "dead_letter_partition": str(message.partition()),
        "dead_letter_offset": str(message.offset()),
    }
    kept = [(name, value) for name, value in _kept(message) if name not in added]
    return OutMessage(topic, message.key(), message.value(), [*kept, *headers_of(added)])


def wait_s(message: Any) -> float:
    """Seconds until a message is to be delivered; 0 or less when it is due."""
    not_before = next((value for name, value in raw_headers(message) if name == NOT_BEFORE), None)
    return whole_number(not_before) / 1000 - time.time() if not_before else 0.0


def _kept(message: Any) -> list[tuple[str, bytes | None]]:
    return [(name, value) for name, value in raw_headers(message) if not name.startswith(OWN)]


def _time(milliseconds: int) -> str:
    return encode_time(datetime.fromtimestamp(milliseconds / 1000, UTC))


class Delays:
    """Calls that wait for their time, with the bytes that they hold. Callable from any thread."""

    def __init__(self, max_calls: int, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_calls, self._max_bytes, self._clock = max_calls, max_bytes, clock
        self._lock = threading.Lock()
        self._calls: list[tuple[float, int, int, object, Callable[[], None]]] = []
        self._numbers = count()
        self._bytes = 0

    def add(self, wait_s: float, call: Callable[[], None], size: int = 0, owner: object = None) -> None:
        """Have `run_due` make the call, `wait_s` seconds from now or later."""
        with self._lock:
            heapq.heappush(self._calls, (self._clock() + wait_s, next(self._numbers), size, owner, call))
            self._bytes += size

    def is_full(self) -> bool:
        """Whether no more calls should be added."""
        with self._lock:
            return len(self._calls) >= self._max_calls or self._bytes >= self._max_bytes

    def forget(self, owner: object) -> None:
        """Drop the calls of an owner."""
        with self._lock:
            self._calls = [call for call in self._calls if call[3] is not owner]
            heapq.heapify(self._calls)
            self._bytes = sum(size for _, _, size, _, _ in self._calls)

    def run_due(self) -> None:
        """Make the calls whose time has come, in its order."""
        now = self._clock()
        due = []
        with self._lock:
            while self._calls and self._calls[0][0] <= now:
                _, _, size, _, call = heapq.heappop(self._calls)
                self._bytes -= size
                due.append(call)
        for call in due:
            call()
