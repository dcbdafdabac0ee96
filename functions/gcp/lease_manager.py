"""The leases (ack deadlines) of a pull stream: extended until the messages are settled; acks are gathered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

GATHER_S = 0.05
"""Seconds that an ack waits for others: its lease lasts hundreds of times longer."""

_SHARE = 4
"""An ack waits for no others when a quarter of the messages that may be held are settled: the broker waits for them."""


@dataclass(frozen=True, slots=True)
class Due:
    """The ack ids that the broker must learn of."""

    acked: tuple[str, ...] = ()
    nacked: tuple[str, ...] = ()
    extended: tuple[str, ...] = ()


class LeaseManager:
    """Every message from its arrival until the broker learns that it is settled. Callable from any thread.

    `lease_s`: seconds of a lease, from its start or extension. `max_messages`, `max_bytes`: limits of the messages that
    are not settled.
    """

    def __init__(
        self, lease_s: float, max_messages: int, max_bytes: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._extend_s, self._max_messages, self._max_bytes, self._clock = lease_s / 2, max_messages, max_bytes, clock
        self._lock = threading.Lock()
        self._is_due, self._has_capacity = threading.Condition(self._lock), threading.Condition(self._lock)
        self._sizes: dict[str, int] = {}
        self._bytes = 0
        self._extensions: dict[str, float] = {}
        """When each lease is to be extended, by ack id, the soonest first."""
        self._acked: list[str] = []
        self._nacked: list[str] = []
        self._wake_at = 1
        """How many settled messages wake the thread that waits in `due`."""
        self._stopped = self._closed = False

    def add(self, sizes: Mapping[str, int]) -> None:
        """Start the leases of messages. `sizes`: bytes of each, by ack id."""
        extend_at = self._clock() + self._extend_s
        with self._lock:
            if not self._extensions:
                self._is_due.notify()  # it waits without a time limit
            self._sizes |= sizes
            self._extensions |= dict.fromkeys(sizes, extend_at)
            self._bytes = sum(self._sizes.values())

    def settle(self, ack_id: str, acked: bool) -> None:
        """Ack or nack a message; a second call does nothing."""
        with self._lock:
            if ack_id not in self._sizes:
                return
            self._bytes -= self._sizes.pop(ack_id)
            del self._extensions[ack_id]
            (self._acked if acked else self._nacked).append(ack_id)
            if self._settled() >= self._wake_at:
                self._is_due.notify()
            self._has_capacity.notify()

    def wait_for_capacity(self) -> None:
        """Wait until more messages may be held. The broker knows the limits, and sends no more until then."""
        with self._lock:
            self._has_capacity.wait_for(
                lambda: self._stopped or (len(self._sizes) < self._max_messages and self._bytes < self._max_bytes)
            )

    def stop(self) -> None:
        """End the wait for capacity, because no more messages are received."""
        with self._lock:
            self._stopped = True
            self._has_capacity.notify_all()

    def close(self) -> None:
        """Let `due` return the messages that are settled by now, and None after that."""
        with self._lock:
            self._closed = True
            self._is_due.notify()

    def due(self) -> Due | None:
        """Wait for acks, nacks and extensions to send, and return them. None after `close` when none are left."""
        with self._lock:
            while not self._closed and not self._settled() and not self._must_extend():
                self._wake_at = 1
                self._is_due.wait(self._until_extension_s())
            if not self._closed and not self._must_extend():
                self._wake_at = max(1, self._max_messages // _SHARE)
                self._is_due.wait_for(lambda: self._closed or self._settled() >= self._wake_at, GATHER_S)
            if self._closed and not self._settled():
                return None
            due = Due(tuple(self._acked), tuple(self._nacked), tuple(self._extend()))
            self._acked.clear()
            self._nacked.clear()
            return due

    def _settled(self) -> int:
        return len(self._acked) + len(self._nacked)

    def _until_extension_s(self) -> float | None:
        return next((extend_at - self._clock() for extend_at in self._extensions.values()), None)

    def _must_extend(self) -> bool:
        left = self._until_extension_s()
        return left is not None and left <= 0

    def _extend(self) -> list[str]:
        now, extended = self._clock(), []
        for ack_id, extend_at in self._extensions.items():
            if extend_at > now:
                break
            extended.append(ack_id)
        for ack_id in extended:  # each moves to the end of the dictionary
            del self._extensions[ack_id]
            self._extensions[ack_id] = now + self._extend_s
        return extended
