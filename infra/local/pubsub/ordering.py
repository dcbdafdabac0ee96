"""Delivery in the order of publishing: one line per ordering key, and one batch of each line out at a time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from infra.local.pubsub.delivery import Backlog
from infra.local.pubsub.lease import Consumer, Forward, Held, Lease
from infra.local.pubsub.policy import Policy
from infra.local.pubsub.wire import RESPONSE_LIMIT


@dataclass(slots=True, eq=False)
class Line:
    """The messages of one key, or one message without a key.

    `out`: the batch that a consumer has, in order; None instead of a lease: acked, but something before it is not.
    `resting`: how many messages sit out a backoff; `listed`: whether it stands among those to take from.
    """

    key: str
    waiting: deque[Queued] = field(default_factory=deque)
    out: dict[Queued, Lease | None] = field(default_factory=dict)
    resting: int = 0
    listed: bool = False


@dataclass(slots=True, eq=False)
class Queued(Held):
    """One message and the line that it stands in."""

    line: Line = field(kw_only=True)


class OrderedBacklog(Backlog):
    """A backlog whose messages of one key go out in order.

    The next batch of a key goes out when the one before is acked. A message that fails goes out again with every
    message after it, also those that were acked out of turn (with exactly-once delivery: without those), as the cloud
    does; their attempts are not counted.
    """

    def __init__(self, policy: Policy, forward: Forward, ids: Iterator[int]) -> None:
        super().__init__(policy, forward, ids)
        self._lines: dict[str, Line] = {}
        self._open: deque[Line] = deque()

    def offer(self, message: Any, size: int, born: float = 0.0, attempts: int = 0) -> None:
        """As to every backlog; to the end of its line."""
        key = message.ordering_key
        line = self._lines.setdefault(key, Line(key)) if key else Line(key)
        line.waiting.append(Queued(message, size, born or time.time(), attempts, line=line))
        self._look(line)

    def take(
        self, consumer: Consumer, limit: int, *, budget: int = RESPONSE_LIMIT, deadline_s: float = 0.0
    ) -> list[Lease]:
        """As from every backlog; the messages of one key in order, and only when none of the key is out."""
        taken: list[Lease] = []
        budget = min(budget, RESPONSE_LIMIT)
        deadline = self._loop.time() + (deadline_s or self.policy.ack_deadline_s)
        horizon = time.time() - self.policy.retention_s
        while self._open and len(taken) < limit:
            line = self._open[0]
            waiting = line.waiting
            while waiting and len(taken) < limit and (not taken or waiting[0].size <= budget):
                held = waiting.popleft()
                if held.born < horizon:
                    self.shelf.drop(held.message)
                    continue
                budget -= held.size
                lease = line.out[held] = self._lease(held, deadline, consumer)
                taken.append(lease)
            if waiting and not line.out:
                break
            self._open.popleft()
            line.listed = False
            self._look(line)
        if taken:
            self._arm()
        return taken

    def read(self) -> set[Held]:
        """Everything that is still owed."""
        waiting = {held for line in (*self._lines.values(), *self._open) for held in line.waiting}
        return super().read() | waiting

    def _clear(self) -> None:
        self._lines.clear()
        self._open.clear()
        super()._clear()

    def _done(self, held: Held) -> None:
        super()._done(held)
        assert isinstance(held, Queued)
        line = held.line
        line.out[held] = None
        while line.out and (first := next(iter(line.out))) and line.out[first] is None:
            del line.out[first]
        self._look(line)

    def _again(self, held: Held) -> None:
        assert isinstance(held, Queued)
        line = held.line
        batch = list(line.out)
        rest = []
        for each in batch[batch.index(held) :]:
            lease = line.out.pop(each)
            if lease or not self.policy.exactly_once:
                rest.append(each)
            if each is not held:
                each.attempts -= 1
                if lease:
                    self._settle(lease.ack_id)
        line.waiting.extendleft(reversed(rest))
        line.resting += 1
        super()._again(held)

    def _return(self, held: Held) -> None:
        assert isinstance(held, Queued)
        held.line.resting -= 1
        self._look(held.line)

    def _look(self, line: Line) -> None:
        """List a line that can be taken from, and forget one that is empty."""
        if line.out or line.resting:
            return
        if not line.waiting:
            self._lines.pop(line.key, None)
        elif not line.listed:
            line.listed = True
            self._open.append(line)
            self._ring()


def backlog(ordered: bool, policy: Policy, forward: Forward, ids: Iterator[int]) -> Backlog:
    """Make the backlog of a subscription, with or without ordering."""
    return (OrderedBacklog if ordered else Backlog)(policy, forward, ids)
