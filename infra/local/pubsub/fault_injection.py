"""Fault injection for Pub/Sub: duplicated, delayed, reordered and expired deliveries, lost acks, and refused calls."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterable, Iterator
from functools import wraps
from typing import Any

import grpc

from infra.local.fault_plan import FaultInjector
from infra.local.pubsub.delivery import Backlog
from infra.local.pubsub.lease import Consumer, Forward, Lease
from infra.local.pubsub.ordering import OrderedBacklog
from infra.local.pubsub.policy import Policy
from infra.local.pubsub.refusal import Refusal
from infra.local.pubsub.stored_message import StoredMessage
from infra.local.pubsub.wire import RESPONSE_LIMIT

# Seconds by which a reordered message is delayed.
_OVERTAKEN_S = 0.1

# Methods that the fault plan may refuse.
_REFUSED = frozenset({"Publish", "Pull", "StreamingPull", "Acknowledge", "ModifyAckDeadline"})


class FaultyBacklog(Backlog):
    """A backlog with injected faults."""

    def __init__(self, faults: FaultInjector, policy: Policy, forward: Forward, ids: Iterator[int]) -> None:
        super().__init__(policy, forward, ids)
        self._faults = faults

    def offer(self, message: StoredMessage, attempts: int = 0) -> None:
        if message.ordering_key:
            super().offer(message, attempts)
            return
        for _ in range(1 + self._faults.happens("duplicate")):
            wait = self._faults.plan.delay_s and self._faults.number("delay_s") * self._faults.plan.delay_s
            if wait := wait + self._faults.happens("reorder") * _OVERTAKEN_S:
                asyncio.get_running_loop().call_later(wait, self._offer_late, message, attempts)
            else:
                super().offer(message, attempts)

    def take(
        self, consumer: Consumer, limit: int, *, budget: int = RESPONSE_LIMIT, deadline_s: float = 0.0
    ) -> list[Lease]:
        taken = super().take(consumer, limit, budget=budget, deadline_s=deadline_s)
        if late := [lease.ack_id for lease in taken if self._faults.happens("late")]:
            # In a later step of the event loop, because the consumer must count its leases first.
            asyncio.get_running_loop().call_soon(self._expire, late)
        return taken

    def ack(self, ack_ids: Iterable[str]) -> list[str]:
        return super().ack([ack_id for ack_id in ack_ids if not self._faults.happens("lose_acks")])

    def _offer_late(self, message: StoredMessage, attempts: int) -> None:
        if not self.closed:
            super().offer(message, attempts)

    def _expire(self, ack_ids: list[str]) -> None:
        if not self.closed:
            super().modify(ack_ids, [0] * len(ack_ids))


class FaultyOrderedBacklog(FaultyBacklog, OrderedBacklog):
    """A backlog with message ordering and injected faults."""


def faulty_backlog(
    faults: FaultInjector, ordered: bool, policy: Policy, forward: Forward, ids: Iterator[int]
) -> Backlog:
    """Make the backlog of a subscription, like `ordering.backlog`, with injected faults."""
    return (FaultyOrderedBacklog if ordered else FaultyBacklog)(faults, policy, forward, ids)


class FaultyService:
    """The methods of a service, over gRPC and REST, some calls of which are refused as by an overloaded server."""

    def __init__(self, faults: FaultInjector, methods: object) -> None:
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
                # The stock client ends a stream on RESOURCE_EXHAUSTED.
                full = self._faults.number("code") < 0.5 and name != "StreamingPull"
                code = grpc.StatusCode.RESOURCE_EXHAUSTED if full else grpc.StatusCode.UNAVAILABLE
                raise Refusal(code, "Refused by the fault plan")
            return await method(request, context) if inspect.iscoroutinefunction(method) else method(request)

        return call
