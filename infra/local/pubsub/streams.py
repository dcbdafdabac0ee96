"""Consumers that pull: a signal that a pull waits on, and a stream with flow control."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from infra.local.pubsub import wire
from infra.local.pubsub.lease import Lease
from infra.local.pubsub.refusal import invalid
from infra.local.pubsub.resources import Subscription

# Messages in one streaming response: large for throughput, or small so that several streams share a burst evenly.
_BATCH, _SHARED_BATCH = 500, 16

_UNLIMITED = 2**62


class Signal:
    """A waiting consumer, woken when messages may be available."""

    pushes = False

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def wake(self) -> None:
        """Wake the waiting task."""
        self._event.set()

    def settled(self, size: int) -> None:
        """Do nothing: only streams have flow control."""

    async def wait(self) -> None:
        """Wait for the next wake; returns at once when one came since the last wait."""
        await self._event.wait()
        self._event.clear()


class Stream(Signal):
    """A streaming pull. It takes no more messages than its client's flow control allows."""

    def __init__(self, subscription: Subscription, first: Any) -> None:
        super().__init__()
        self._subscription = subscription
        self._backlog = subscription.backlog
        self._confirmed: Any = None
        self._deadline_s = 0
        self._max_messages = first.max_outstanding_messages if first.max_outstanding_messages > 0 else _UNLIMITED
        self._max_bytes = first.max_outstanding_bytes if first.max_outstanding_bytes > 0 else _UNLIMITED
        self._messages = self._bytes = 0
        self.apply(first)
        self._backlog.join(self)

    def respond(self) -> Any:
        """The next response: new messages and confirmations of acks and deadlines; None when there are none."""
        leases, confirmed = self._take(), self._confirmed
        if not leases and confirmed is None:
            return None
        self._confirmed = None
        response = fill(confirmed or wire.StreamingPullResponse(), leases, self._subscription)
        if self._backlog.policy.exactly_once:
            response.subscription_properties.exactly_once_delivery_enabled = True
        if self._subscription.config.enable_message_ordering:
            response.subscription_properties.message_ordering_enabled = True
        return response

    def _take(self) -> list[Lease]:
        """Lease messages within the flow control; empty when none wait or a limit is reached."""
        batch = _SHARED_BATCH if self._backlog.shared else _BATCH
        limit = min(batch, self._max_messages - self._messages)
        budget = self._max_bytes - self._bytes
        if limit <= 0 or budget <= 0:
            return []
        leases = self._backlog.take(self, limit, budget=budget, deadline_s=self._deadline_s)
        self._messages += len(leases)
        self._bytes += sum(lease.held.message.size for lease in leases)
        return leases

    def settled(self, size: int) -> None:
        """Reduce the outstanding messages; wake only when a limit had been reached."""
        full = self._messages >= self._max_messages or self._bytes >= self._max_bytes
        self._messages -= 1
        self._bytes -= size
        if full:
            self.wake()

    def apply(self, request: Any) -> None:
        """Process a request of the client: acks, deadlines, the stream's ack deadline. An empty one is a keepalive."""
        if seconds := request.stream_ack_deadline_seconds:
            if not 10 <= seconds <= 600:
                raise invalid(f"stream_ack_deadline_seconds is {seconds}; it must be from 10 to 600")
            self._deadline_s = seconds
        if len(request.modify_deadline_ack_ids) != len(request.modify_deadline_seconds):
            raise invalid("modify_deadline_ack_ids and modify_deadline_seconds differ in length")
        if request.ack_ids:
            stale = self._backlog.ack(request.ack_ids)
            self._confirm("acknowledge_confirmation", request.ack_ids, stale)
        if request.modify_deadline_ack_ids:
            stale = self._backlog.modify(request.modify_deadline_ack_ids, request.modify_deadline_seconds)
            self._confirm("modify_ack_deadline_confirmation", request.modify_deadline_ack_ids, stale)

    def close(self) -> None:
        """Stop taking messages; leases last until their deadlines."""
        self._backlog.leave(self)

    def _confirm(self, field: str, ack_ids: Iterable[str], stale: list[str]) -> None:
        """With exactly-once delivery, note for the next response which ids were valid."""
        if self._backlog.policy.exactly_once:
            self._confirmed = self._confirmed or wire.StreamingPullResponse()
            confirmation, gone = getattr(self._confirmed, field), set(stale)
            confirmation.ack_ids.extend(ack_id for ack_id in ack_ids if ack_id not in gone)
            confirmation.invalid_ack_ids.extend(stale)
            self.wake()


def fill(response: Any, leases: list[Lease], subscription: Subscription) -> Any:
    """Put leases into a pull response and return it. Attempts are set only with a dead-letter policy."""
    counted = subscription.backlog.policy.max_attempts > 0
    for lease in leases:
        attempt = lease.held.attempts if counted else 0
        received = response.received_messages.add(ack_id=lease.ack_id, delivery_attempt=attempt)
        received.message.MergeFromString(lease.held.message.body)
    return response
