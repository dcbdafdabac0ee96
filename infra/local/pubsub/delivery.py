"""The undelivered and unacked messages of one subscription: waiting, leased, or in a retry backoff.

All code here runs on the server's event loop, so it needs no locks. One timer is set to the nearest deadline.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections import deque
from collections.abc import Iterable, Iterator

from infra.local.pubsub.lease import Consumer, Forward, Lease, PendingMessage
from infra.local.pubsub.message_index import NO_INDEX, MessageIndex
from infra.local.pubsub.policy import Policy
from infra.local.pubsub.refusal import invalid
from infra.local.pubsub.retention import Log
from infra.local.pubsub.stored_message import StoredMessage
from infra.local.pubsub.wire import RESPONSE_LIMIT

# Deadlines within this many seconds count as reached.
_PRECISION_S = 0.001


class Backlog:
    """The messages of one subscription, from publish to ack or dead letter."""

    def __init__(self, policy: Policy, forward: Forward, ids: Iterator[int]) -> None:
        self.policy = policy
        self.closed = False
        # Acked messages, when the subscription retains them.
        self.acked: Log | None = None
        self.index: MessageIndex = NO_INDEX
        self._forward = forward
        self._ids = ids
        self._loop = asyncio.get_running_loop()
        self._used_at = self._loop.time()
        self._ready: deque[PendingMessage] = deque()
        self._leases: dict[str, Lease] = {}
        self._consumers: deque[Consumer] = deque()
        self._due: list[tuple[float, int, Lease | PendingMessage]] = []
        self._sequence = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    def offer(self, message: StoredMessage, attempts: int = 0) -> None:
        """Add a message that is already in the index. `attempts`: failed deliveries."""
        self._ready.append(PendingMessage(message, attempts))
        self._wake_next()

    def take(
        self, consumer: Consumer, limit: int, *, budget: int = RESPONSE_LIMIT, deadline_s: float = 0.0
    ) -> list[Lease]:
        """Lease at most `limit` messages to a consumer, of at most `budget` bytes in total or a single larger one.

        `deadline_s`: ack deadline in seconds, 0 for the subscription's.
        """
        taken: list[Lease] = []
        ready, budget = self._ready, min(budget, RESPONSE_LIMIT)
        deadline = self._loop.time() + (deadline_s or self.policy.ack_deadline_s)
        horizon = time.time_ns() - int(self.policy.retention_s * 1e9)
        while ready and len(taken) < limit:
            if ready[0].message.published_ns < horizon:
                self.index.drop(ready.popleft().message)
                continue
            # Checked before a message is added, because a response over the client's limit would never arrive.
            if taken and ready[0].message.size > budget:
                break
            held = ready.popleft()
            budget -= held.message.size
            taken.append(self._lease(held, deadline, consumer))
        if taken:
            self._arm()
        return taken

    def ack(self, ack_ids: Iterable[str]) -> list[str]:
        """Remove messages for good; returns the ids without a lease, whose deadline has passed."""
        stale = []
        self.touch()
        for ack_id in ack_ids:
            if lease := self._settle(ack_id):
                self._done(lease.held)
            else:
                stale.append(ack_id)
        if len(self._due) > 1000 and len(self._due) > 2 * len(self._leases):
            self._sweep()
        return stale

    def stale(self, ack_ids: Iterable[str]) -> list[str]:
        """Those of these ids that have no lease."""
        return [ack_id for ack_id in ack_ids if ack_id not in self._leases]

    def modify(self, ack_ids: Iterable[str], seconds: Iterable[int]) -> list[str]:
        """Set deadlines to `seconds` from now, where 0 is a nack; returns the ids without a lease."""
        stale = []
        now = self._loop.time()
        for ack_id, extension in zip(ack_ids, seconds, strict=True):
            if extension == 0:
                if lease := self._settle(ack_id):
                    self._failed(lease.held)
                else:
                    stale.append(ack_id)
            elif lease := self._find(ack_id):
                sooner = now + extension < lease.deadline
                lease.deadline = now + extension
                if sooner:  # a later deadline is found when the old one is reached
                    heapq.heappush(self._due, (lease.deadline, next(self._sequence), lease))
            else:
                stale.append(ack_id)
        self._arm()
        return stale

    def join(self, consumer: Consumer) -> None:
        """Wake this consumer from now on."""
        self._consumers.append(consumer)
        consumer.wake()

    def leave(self, consumer: Consumer) -> None:
        """Stop waking this consumer; it keeps its leases until their deadlines."""
        self._consumers.remove(consumer)
        self.touch()

    @property
    def shared(self) -> bool:
        """Whether several consumers wait for messages."""
        return len(self._consumers) > 1

    def touch(self) -> None:
        """Record that the subscription is in use."""
        self._used_at = self._loop.time()

    def idle_s(self) -> float:
        """Seconds since the last ack, operation or stream. Failing pushes do not count as use."""
        pulled = any(not consumer.pushes for consumer in self._consumers)
        return 0.0 if pulled else self._loop.time() - self._used_at

    def wake_all(self) -> None:
        """Wake every consumer, after a change of the subscription."""
        for consumer in list(self._consumers):
            consumer.wake()

    def read(self) -> set[PendingMessage]:
        """All messages that are not acked."""
        resting = {entry[2] for entry in self._due if isinstance(entry[2], PendingMessage)}
        return resting | {lease.held for lease in self._leases.values()} | set(self._ready)

    def reset(self, messages: Iterable[StoredMessage]) -> None:
        """Replace all messages by these, and revoke every lease."""
        for ack_id in list(self._leases):
            self._settle(ack_id)
        self._clear()
        unacked = list(messages)
        self.index = self.index.renewed(unacked)
        for message in unacked:
            self.offer(message)

    def close(self) -> None:
        """Drop all messages, because the subscription is deleted or the server stops."""
        self.closed = True
        self._clear()
        self.wake_all()

    def _clear(self) -> None:
        self._ready.clear()
        self._leases.clear()
        self._due.clear()
        self._arm()

    def _lease(self, held: PendingMessage, deadline: float, consumer: Consumer) -> Lease:
        """Lease a message under a new ack id; the caller sets the timer."""
        held.attempts += 1
        lease = Lease(str(next(self._ids)), held, deadline, consumer)
        self._leases[lease.ack_id] = lease
        heapq.heappush(self._due, (deadline, next(self._sequence), lease))
        return lease

    def _wake_next(self) -> None:
        # Rotate, so that with little traffic one consumer does not get everything.
        self._consumers.rotate(1)
        self.wake_all()

    def _find(self, ack_id: str) -> Lease | None:
        lease = self._leases.get(ack_id)
        if lease is None and not self.policy.exactly_once and not ack_id.isdecimal():
            raise invalid(f"Invalid ack id (ack_id={ack_id[:80]})")
        return lease

    def _settle(self, ack_id: str) -> Lease | None:
        if lease := self._find(ack_id):
            del self._leases[ack_id]
            lease.consumer.settled(lease.held.message.size)
        return lease

    def _failed(self, held: PendingMessage) -> None:
        """Handle a nack or an expired lease: dead-letter it after enough attempts, else deliver it again later."""
        if self.policy.is_last(held.attempts) and self._forward(held):
            self._done(held)
        else:
            self._again(held)

    def _done(self, held: PendingMessage) -> None:
        """Remove a message that was acked or dead-lettered."""
        if self.acked is not None:
            self.acked.add(held.message)
        self.index.drop(held.message)

    def _again(self, held: PendingMessage) -> None:
        self.index.count(held.message, held.attempts)
        if delay := self.policy.delay_s(held.attempts):
            heapq.heappush(self._due, (self._loop.time() + delay, next(self._sequence), held))
        else:
            self._return(held)

    def _return(self, held: PendingMessage) -> None:
        """Make a message available again."""
        self._ready.append(held)
        self._wake_next()

    def _arm(self) -> None:
        """Set the timer to the nearest deadline."""
        if self._timer and (not self._due or self._due[0][0] < self._timer.when() or self.closed):
            self._timer.cancel()
            self._timer = None
        if self._due and not self._timer:
            self._timer = self._loop.call_at(self._due[0][0], self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self._loop.time() + _PRECISION_S
        while self._due and self._due[0][0] <= now:
            item = heapq.heappop(self._due)[2]
            if isinstance(item, PendingMessage):
                self._return(item)
            elif self._leases.get(item.ack_id) is item:
                if item.deadline > now:
                    heapq.heappush(self._due, (item.deadline, next(self._sequence), item))
                else:
                    self._settle(item.ack_id)
                    self._failed(item.held)
        self._arm()

    def _sweep(self) -> None:
        """Drop the deadlines of acked messages, which would keep these messages in memory."""
        self._due = [
            entry
            for entry in self._due
            if isinstance(entry[2], PendingMessage) or self._leases.get(entry[2].ack_id) is entry[2]
        ]
        heapq.heapify(self._due)
        self._arm()
