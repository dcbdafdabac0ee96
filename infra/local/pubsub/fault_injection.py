"""Fault plans of Pub/Sub: a backlog that duplicates, delays, loses acks and comes late, and calls that are refused."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterable, Iterator
from functools import wraps
from typing import Any

import grpc

from infra.local.fault_plan import Faults
from infra.local.pubsub.delivery import Backlog
from infra.local.pubsub.lease import Consumer, Forward, Lease
from infra.local.pubsub.ordering import OrderedBacklog
from infra.local.pubsub.policy import Policy
from infra.local.pubsub.refusal import Refusal
from infra.local.pubsub.wire import RESPONSE_LIMIT

_OVERTAKEN_S = 0.1
_REFUSED = frozenset({"Publish", "Pull", "StreamingPull", "Acknowledge", "ModifyAckDeadline"})


class BadBacklog(Backlog):
    """A backlog on a fault plan."""

    def __init__(self, faults: Faults, policy: Policy, forward: Forward, ids: Iterator[int]) -> None:
        super().__init__(policy, forward, ids)
        self._faults = faults

    def offer(self, message: Any, size: int, born: float = 0.0, attempts: int = 0) -> None:
        if message.ordering_key:
            super().offer(message, size, born, attempts)
            return
        for _ in range(1 + self._faults.happens("duplicate")):
            wait = self._faults.day.delay_s and self._faults.number("delay_s") * self._faults.day.delay_s
            if wait := wait + self._faults.happens("reorder") * _OVERTAKEN_S:
                asyncio.get_running_loop().call_later(wait, self._offer_late, message, size, born, attempts)
            else:
                super().offer(message, size, born, attempts)

    def take(
        self, consumer: Consumer, limit: int, *, budget: int = RESPONSE_LIMIT, deadline_s: float = 0.0
    ) -> list[Lease]:
        taken = super().take(consumer, limit, budget=budget, deadline_s=deadline_s)
        if late := [lease.ack_id for lease in taken if self._faults.happens("late")]:
            # Later on the loop: the consumer first has to count what it took.
            asyncio.get_running_loop().call_soon(self._expire, late)
        return taken

    def ack(self, ack_ids: Iterable[str]) -> list[str]:
        return super().ack([ack_id for ack_id in ack_ids if not self._faults.happens("lose_acks")])

    def _offer_late(self, message: Any, size: int, born: float, attempts: int) -> None:
        if not self.closed:
            super().offer(message, size, born, attempts)

    def _expire(self, ack_ids: list[str]) -> None:
        if not self.closed:
            super().modify(ack_ids, [0] * len(ack_ids))


class BadOrderedBacklog(BadBacklog, OrderedBacklog):
    """A backlog in order, on a fault plan."""


def bad_backlog(faults: Faults, ordered: bool, policy: Policy, forward: Forward, ids: Iterator[int]) -> Backlog:
    """Make the backlog of a subscription, as `ordering.backlog` does on a good day."""
    return (BadOrderedBacklog if ordered else BadBacklog)(faults, policy, forward, ids)


class Refusing:
    """The methods of a service, over gRPC and REST, now and then refused as by an overloaded one."""

    def __init__(self, faults: Faults, methods: object) -> None:
        self._faults, self._methods = faults, methods

    def __dir__(self) -> list[str]:
        return dir(self._methods)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._methods, name)
        if name not in _REFUSED:
            return method

        @wraps(method)
        async def call(request: Any, context: Any) -> Any:
            if self._faults.refuses():
                # The stock client takes RESOURCE_EXHAUSTED of a stream for its end.
                full = self._faults.number("code") < 0.5 and name != "StreamingPull"
                code = grpc.StatusCode.RESOURCE_EXHAUSTED if full else grpc.StatusCode.UNAVAILABLE
                raise Refusal(code, "The fault plan that was asked for")
            return await method(request, context) if inspect.iscoroutinefunction(method) else method(request)

        return call
