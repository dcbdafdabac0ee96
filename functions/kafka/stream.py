"""A stream of messages from a topic: one thread, which a subclass has consume, from `start` until `stop`."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from functions.kafka.assignment import Held
from functions.kafka.connection import admin_client, answers, broke
from functions.runtime.supervised import Supervisor

log = logging.getLogger(__name__)

Message = TypeVar("Message")
"""What a stream passes on."""


class TopicStream(ABC, Generic[Message]):
    """Passes on the messages of one topic, in a thread of its own.

    `ended`: ends when no more messages are received, with the exception if the consumer failed.
    """

    def __init__(self, properties: Mapping[str, Any], topic: str, group: str, supervisor: Supervisor) -> None:
        self.ended: Future[None] = Future()
        self._properties, self._topic, self._group, self._supervisor = properties, topic, group, supervisor
        self._stopping, self._closing = threading.Event(), threading.Event()
        self._admin = admin_client(properties)

    def start(self, receive: Callable[[Message], None], refused: Callable[[Held, str], None]) -> None:
        """Pass messages to `receive`, which must not block.

        `refused(held, reason)` replaces what a message led to and the brokers refuse in a transaction.
        """
        self._receive, self._refused = receive, refused
        self._thread = self._supervisor.start(f"consume-{self._topic}", self._run)

    def stop(self, *, closing: bool = False) -> None:
        """Receive no more messages. Those that were received can still be finished.

        `closing`: tell the brokers what is finished by now, and leave the group; `join` waits for it.
        """
        self._stopping.set()
        if closing:
            self._closing.set()

    def is_stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    def join(self, timeout_s: float) -> None:
        """Wait until the group is left."""
        self._thread.join(timeout_s)

    def is_reachable(self, timeout_s: float) -> bool:
        """Whether a broker answers."""
        return answers(self._admin, self._topic, timeout_s)

    @abstractmethod
    def _consume(self) -> None:
        """Pass messages on until the stream is closed, and leave the group."""

    def _run(self) -> None:
        try:
            self._consume()
        except Exception as exc:
            if not self._closing.is_set():
                self.ended.set_exception(broke(exc, self._topic, self._group))
                return
            log.warning("the consumer was not closed in order: %s", exc)
        self.ended.set_result(None)
