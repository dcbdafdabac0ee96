"""Messages that are kept after delivery: by a topic, by a subscription with acked-message retention, by a snapshot."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from infra.local.pubsub.message_index import NO_INDEX, MessageIndex
from infra.local.pubsub.stored_message import StoredMessage


class Log:
    """The messages of the last `keep_s` seconds."""

    def __init__(self, keep_s: float = math.inf, messages: Iterable[StoredMessage] = ()) -> None:
        self.keep_s = keep_s
        self.index: MessageIndex = NO_INDEX
        self._messages = deque(messages)

    def add(self, message: StoredMessage) -> None:
        """Add a message, and drop those that are too old."""
        self.index.add(message)
        self.offer(message)
        horizon = self._horizon()
        while self._messages and self._messages[0].published_ns < horizon:
            self.index.drop(self._messages.popleft())

    def offer(self, message: StoredMessage, attempts: int = 0) -> None:
        """Add a message that is already in the index."""
        self._messages.append(message)

    def read(self) -> list[StoredMessage]:
        """The messages that are not too old."""
        horizon = self._horizon()
        return [message for message in self._messages if message.published_ns >= horizon]

    def _horizon(self) -> float:
        """Epoch nanoseconds; messages from before are too old."""
        return time.time_ns() - self.keep_s * 1e9


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
