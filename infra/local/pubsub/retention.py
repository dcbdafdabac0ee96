"""Messages that are kept after delivery: by a topic, by a subscription with acked-message retention, by a snapshot."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from infra.local.pubsub.message_index import NO_INDEX, MessageIndex


@dataclass(frozen=True, slots=True)
class RetainedMessage:
    """A message, its bytes on the wire, and its publish time (epoch seconds)."""

    message: Any
    size: int
    published_at: float


class Log:
    """The messages of the last `keep_s` seconds."""

    def __init__(self, keep_s: float = math.inf, messages: Iterable[RetainedMessage] = ()) -> None:
        self.keep_s = keep_s
        self.index: MessageIndex = NO_INDEX
        self._messages = deque(messages)

    def add(self, message: Any, size: int, published_at: float = 0.0) -> None:
        """Add a message; `published_at`: its publish time, 0 for now."""
        self.index.add(message)
        self.offer(message, size, published_at or time.time())
        horizon = time.time() - self.keep_s
        while self._messages and self._messages[0].published_at < horizon:
            self.index.drop(self._messages.popleft().message)

    def offer(self, message: Any, size: int, published_at: float, attempts: int = 0) -> None:
        """Add a message that is already in the index."""
        self._messages.append(RetainedMessage(message, size, published_at))

    def read(self) -> list[RetainedMessage]:
        """The messages that are not too old."""
        horizon = time.time() - self.keep_s
        return [kept for kept in self._messages if kept.published_at >= horizon]


@dataclass(slots=True)
class Snapshot:
    """The unacked messages of a subscription at some time, and those published since."""

    config: Any
    log: Log


def retained(log: Log | None, wanted: bool, keep_s: float) -> Log | None:
    """The log after a change of settings: a new one, the same with another duration, or None."""
    if not wanted:
        return None
    log = log or Log()
    log.keep_s = keep_s
    return log
