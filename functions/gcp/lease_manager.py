"""What a pull worker holds: leases that are extended until their messages are settled, which is told in few calls."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

GATHER_S = 0.05
"""How long one that is settled may wait for others: its lease lasts hundreds of times longer."""

_FEW = 4
"""Part of what may be held, settled, waits for no others: the broker is waited for by now."""


@dataclass(frozen=True, slots=True)
class News:
    """What the broker is to be told, each by its ack id."""

    acked: tuple[str, ...] = ()
    nacked: tuple[str, ...] = ()
    extended: tuple[str, ...] = ()


class Leases:
    """Every message from its arrival until the broker is told what became of it. Callable from any thread.

    `lease_s`: how long the broker waits, from each extension on. `most`, `most_bytes`: of what is held at once.
    """

    def __init__(self, lease_s: float, most: int, most_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._extend_s, self._most, self._most_bytes, self._clock = lease_s / 2, most, most_bytes, clock
        self._lock = threading.Lock()
        self._news, self._room = threading.Condition(self._lock), threading.Condition(self._lock)
        self._sizes: dict[str, int] = {}
        self._bytes = 0
        self._due: dict[str, float] = {}
        """When each is to be extended, the soonest first."""
        self._acked: list[str] = []
        self._nacked: list[str] = []
        self._enough = 1
        """So many that are settled wake whoever tells of them."""
        self._stopped = self._closed = False

    def hold(self, sizes: Mapping[str, int]) -> None:
        """Messages came: bytes of each, by ack id."""
        due = self._clock() + self._extend_s
        with self._lock:
            if not self._due:
                self._news.notify()  # it waits for no deadline yet
            self._sizes |= sizes
            self._due |= dict.fromkeys(sizes, due)
            self._bytes = sum(self._sizes.values())

    def settle(self, ack_id: str, acked: bool) -> None:
        """Ack or nack one of them; the second time does nothing."""
        with self._lock:
            if ack_id not in self._sizes:
                return
            self._bytes -= self._sizes.pop(ack_id)
            del self._due[ack_id]
            (self._acked if acked else self._nacked).append(ack_id)
            if self._settled() >= self._enough:
                self._news.notify()
            self._room.notify()

    def wait_for_room(self) -> None:
        """Wait until more may be held. A broker that keeps to what it was told sends no more until then."""
        with self._lock:
            self._room.wait_for(lambda: self._stopped or self._has_room())

    def stop(self) -> None:
        """No more come: nobody waits for room."""
        with self._lock:
            self._stopped = True
            self._room.notify_all()

    def close(self) -> None:
        """What is settled by now is the last news."""
        with self._lock:
            self._closed = True
            self._news.notify()

    def news(self) -> News | None:
        """What is to be told: waits until there is something. None when it is closed and there is no more."""
        with self._lock:
            while not self._closed and not self._settled() and not self._is_due():
                self._enough = 1
                self._news.wait(self._until_due_s())
            if not self._closed and not self._is_due():
                self._enough = max(1, self._most // _FEW)
                self._news.wait_for(lambda: self._closed or self._settled() >= self._enough, GATHER_S)
            if self._closed and not self._settled():
                return None
            told = News(tuple(self._acked), tuple(self._nacked), tuple(self._extend()))
            self._acked.clear()
            self._nacked.clear()
            return told

    def _settled(self) -> int:
        return len(self._acked) + len(self._nacked)

    def _has_room(self) -> bool:
        return len(self._sizes) < self._most and self._bytes < self._most_bytes

    def _until_due_s(self) -> float | None:
        return next((due - self._clock() for due in self._due.values()), None)

    def _is_due(self) -> bool:
        left = self._until_due_s()
        return left is not None and left <= 0

    def _extend(self) -> list[str]:
        now, extended = self._clock(), []
        for ack_id, due in self._due.items():
            if due > now:
                break
            extended.append(ack_id)
        for ack_id in extended:  # each to the end of the line
            del self._due[ack_id]
            self._due[ack_id] = now + self._extend_s
        return extended
