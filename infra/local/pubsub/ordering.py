"""Ordered delivery: one queue per ordering key, with one leased batch per queue at a time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from infra.local.pubsub.delivery import Backlog
from infra.local.pubsub.lease import Consumer, Forward, Lease, PendingMessage
from infra.local.pubsub.policy import Policy
from infra.local.pubsub.stored_message import StoredMessage
from infra.local.pubsub.wire import RESPONSE_LIMIT


@dataclass(slots=True, eq=False)
class KeyQueue:
    """The queue of one ordering key, or of one message without a key.

    `out`: the leased batch, in order; None replaces the lease of a message that is acked before an earlier one.
    `in_backoff`: the number of messages in a retry backoff; `listed`: whether messages can be taken from the queue.
    """

    key: str
    waiting: deque[OrderedMessage] = field(default_factory=deque)
    out: dict[OrderedMessage, Lease | None] = field(default_factory=dict)
    in_backoff: int = 0
    listed: bool = False


@dataclass(slots=True, eq=False)
class OrderedMessage(PendingMessage):
    """A message and its queue."""

    queue: KeyQueue = field(kw_only=True)


class OrderedBacklog(Backlog):
    """A backlog that delivers the messages of one key in order.

    The next batch of a key is leased when the previous one is acked. A failed message is delivered again with every
    message after it, including those that were acked out of order (except with exactly-once delivery), as in the cloud.
    The attempts of these other messages are not counted.
    """

    def __init__(self, policy: Policy, forward: Forward, ids: Iterator[int]) -> None:
        super().__init__(policy, forward, ids)
        self._queues: dict[str, KeyQueue] = {}
        self._open: deque[KeyQueue] = deque()

    def offer(self, message: StoredMessage, attempts: int = 0) -> None:
        """Add a message at the end of its key's queue."""
        key = message.ordering_key
        queue = self._queues.setdefault(key, KeyQueue(key)) if key else KeyQueue(key)
        queue.waiting.append(OrderedMessage(message, attempts, queue=queue))
        self._update(queue)

    def take(
        self, consumer: Consumer, limit: int, *, budget: int = RESPONSE_LIMIT, deadline_s: float = 0.0
    ) -> list[Lease]:
        """Lease messages, those of one key in order, and only when no message of the key is leased."""
        taken: list[Lease] = []
        budget = min(budget, RESPONSE_LIMIT)
        deadline = self._loop.time() + (deadline_s or self.policy.ack_deadline_s)
        horizon = time.time_ns() - int(self.policy.retention_s * 1e9)
        while self._open and len(taken) < limit:
            queue = self._open[0]
            waiting = queue.waiting
            while waiting and len(taken) < limit and (not taken or waiting[0].message.size <= budget):
                held = waiting.popleft()
                if held.message.published_ns < horizon:
                    self.index.drop(held.message)
                    continue
                budget -= held.message.size
                lease = queue.out[held] = self._lease(held, deadline, consumer)
                taken.append(lease)
            if waiting and not queue.out:
                break
            self._open.popleft()
            queue.listed = False
            self._update(queue)
        if taken:
            self._arm()
        return taken

    def read(self) -> set[PendingMessage]:
        """All messages that are not acked."""
        waiting = {held for queue in (*self._queues.values(), *self._open) for held in queue.waiting}
        return super().read() | waiting

    def _clear(self) -> None:
        self._queues.clear()
        self._open.clear()
        super()._clear()

    def _done(self, held: PendingMessage) -> None:
        super()._done(held)
        assert isinstance(held, OrderedMessage)
        queue = held.queue
        queue.out[held] = None
        while queue.out and (first := next(iter(queue.out))) and queue.out[first] is None:
            del queue.out[first]
        self._update(queue)

    def _again(self, held: PendingMessage) -> None:
        assert isinstance(held, OrderedMessage)
        queue = held.queue
        batch = list(queue.out)
        rest = []
        for each in batch[batch.index(held) :]:
            lease = queue.out.pop(each)
            if lease or not self.policy.exactly_once:
                rest.append(each)
            if each is not held:
                each.attempts -= 1
                if lease:
                    self._settle(lease.ack_id)
        queue.waiting.extendleft(reversed(rest))
        queue.in_backoff += 1
        super()._again(held)

    def _return(self, held: PendingMessage) -> None:
        assert isinstance(held, OrderedMessage)
        held.queue.in_backoff -= 1
        self._update(held.queue)

    def _update(self, queue: KeyQueue) -> None:
        """List a queue that messages can be taken from, and forget an empty one."""
        if queue.out or queue.in_backoff:
            return
        if not queue.waiting:
            self._queues.pop(queue.key, None)
        elif not queue.listed:
            queue.listed = True
            self._open.append(queue)
            self._wake_next()


def backlog(ordered: bool, policy: Policy, forward: Forward, ids: Iterator[int]) -> Backlog:
    """Make the backlog of a subscription, with or without ordering."""
    return (OrderedBacklog if ordered else Backlog)(policy, forward, ids)
