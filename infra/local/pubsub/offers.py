"""Published messages on their way to the backlogs: they wait until their publisher is answered.

The cloud answers a publisher before it delivers the message, and clients rely on it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable

from infra.local.pubsub.delivery import Backlog
from infra.local.pubsub.refusal import Refusal
from infra.local.pubsub.stored_message import StoredMessage

# Seconds between the answer to a publisher and the delivery: on this machine, an answer takes a fraction of it.
_ANSWER_S = 0.001

# A message, and the backlog that gets it.
Offer = tuple[Backlog, StoredMessage]


class Offers:
    """Offers the messages of each publish a moment later, in the order of the publishes.

    `stored`: waits until everything published so far is stored, which the answer waits for too; None without storage.
    """

    def __init__(self) -> None:
        self.stored: Callable[[], Awaitable[None]] | None = None
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[list[Offer]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, offers: list[Offer]) -> None:
        """Offer these messages when their publisher is answered."""
        self._waiting.append(offers)
        if self.stored is None:
            self._loop.call_later(_ANSWER_S, self._make_next)
        else:
            task = self._loop.create_task(self._make_when(self.stored()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def make_all(self) -> None:
        """Offer all waiting messages now."""
        while self._waiting:
            self._make_next()

    async def _make_when(self, stored: Awaitable[None]) -> None:
        with contextlib.suppress(Refusal):  # the publisher learns of the failure, and the message is delivered
            await stored
        self._loop.call_later(_ANSWER_S, self._make_next)

    def _make_next(self) -> None:
        for backlog, message in self._waiting.popleft() if self._waiting else ():
            if not backlog.closed:
                backlog.offer(message)
