"""Messages kept after they were delivered: by a topic, by a subscription that retains what was acked, by a snapshot."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from infra.local.pubsub.shelf import NO_SHELF, Shelf


@dataclass(frozen=True, slots=True)
class Kept:
    """One message, its bytes on the wire, and when it was published (seconds since the epoch)."""

    message: Any
    size: int
    born: float


class Log:
    """Messages of the last `keep_s` seconds."""

    def __init__(self, keep_s: float = math.inf, messages: Iterable[Kept] = ()) -> None:
        self.keep_s = keep_s
        self.shelf: Shelf = NO_SHELF
        self._messages = deque(messages)

    def add(self, message: Any, size: int, born: float = 0.0) -> None:
        """Keep a message; `born`: when it was published, if not now."""
        self.shelf.add(message)
        self.offer(message, size, born or time.time())
        horizon = time.time() - self.keep_s
        while self._messages and self._messages[0].born < horizon:
            self.shelf.drop(self._messages.popleft().message)

    def offer(self, message: Any, size: int, born: float, attempts: int = 0) -> None:
        """Take in a message that is on the shelf already."""
        self._messages.append(Kept(message, size, born))

    def read(self) -> list[Kept]:
        """What is kept and not too old."""
        horizon = time.time() - self.keep_s
        return [kept for kept in self._messages if kept.born >= horizon]


@dataclass(slots=True)
class Snapshot:
    """What one subscription owed at some time, and what was published since."""

    config: Any
    log: Log


def retained(log: Log | None, wanted: bool, keep_s: float) -> Log | None:
    """The log after a change of settings: a new one, the same with another duration, or none."""
    if not wanted:
        return None
    log = log or Log()
    log.keep_s = keep_s
    return log
