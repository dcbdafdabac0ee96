"""A streaming pull on Google's generated client: messages are handled at once, acks are sent in few calls.

The stock client's streaming pull asks the broker to extend the leases of each response before it passes messages on,
and moves each message from thread to thread: that takes longer than to score a small image.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
from google.api_core import exceptions
from google.api_core.bidi import ResumableBidiRpc
from google.api_core.retry import Retry
from google.pubsub_v1 import (
    AcknowledgeRequest,
    ModifyAckDeadlineRequest,
    StreamingPullRequest,
    StreamingPullResponse,
    SubscriberClient,
)

from functions.gcp.lease_manager import LeaseManager
from functions.gcp.reopening import Reopenings
from functions.messages.contract import Envelope, Response
from functions.messages.event_decoder import from_pulled
from functions.messages.image_lines import has_lines
from functions.runtime.supervised import Supervisor

log = logging.getLogger(__name__)

LEASE_S = 20
"""Seconds after which the broker delivers the messages of a dead worker again; a live worker extends its leases."""

HEARTBEAT_S = 30.0
"""Seconds between heartbeats: the broker closes a stream on which nothing is sent for a minute."""

CALL_TIMEOUT_S = 10.0
"""Seconds for a call that acks, nacks or extends, with its retries."""

_RETRY = Retry(maximum=1.0, timeout=CALL_TIMEOUT_S)

_IDS = 1000
"""Most ack ids of a call: a call may have 512 KiB, and an ack id has some 200 bytes."""

_IMAGE_BYTES = 4_000
"""Bytes of one request and its response in memory, apart from the image."""

_RECOVERABLE = (
    exceptions.Aborted,
    exceptions.DeadlineExceeded,
    exceptions.GatewayTimeout,
    exceptions.InternalServerError,
    exceptions.ResourceExhausted,
    exceptions.ServiceUnavailable,
    exceptions.Unknown,
)
"""After these a stream is opened again, as by the stock client: the broker closes each stream after half an hour."""


@dataclass(frozen=True, slots=True)
class PulledDelivery:
    """A message of the stream."""

    envelope: Envelope
    _ack_id: str
    _leases: LeaseManager
    is_awaited: bool = False

    def ack(self, response: Response | None = None, /) -> None:
        """Have the broker remove the message."""
        self._leases.settle(self._ack_id, True)

    def nack(self) -> None:
        """Have the broker deliver the message again."""
        self._leases.settle(self._ack_id, False)


class PullStream:
    """Passes the messages of one subscription to `receive`, which must not block, until `stop`.

    `max_messages`, `max_bytes`: limits of the messages that are not settled. `ended`: ends when the stream receives no
    more messages, with the exception if the stream failed permanently.
    """

    def __init__(
        self,
        client: SubscriberClient,
        subscription: str,
        receive: Callable[[PulledDelivery], None],
        max_messages: int,
        max_bytes: int,
        supervisor: Supervisor,
        lease_s: int = LEASE_S,
    ) -> None:
        self.ended: Future[None] = Future()
        self._client, self._subscription, self._receive, self._lease_s = client, subscription, receive, lease_s
        self._leases = LeaseManager(lease_s, max_messages, max_bytes)
        self._stopping = threading.Event()
        self._reopenings = Reopenings(subscription)
        first = {
            "subscription": subscription,
            "stream_ack_deadline_seconds": lease_s,
            "client_id": uuid.uuid4().hex,
            "max_outstanding_messages": max_messages,
            "max_outstanding_bytes": max_bytes,
        }
        self._rpc = ResumableBidiRpc(
            client.streaming_pull,
            should_recover=self._is_recoverable,
            initial_request=StreamingPullRequest(first),
            metadata=[("x-goog-request-params", f"subscription={subscription}")],
            throttle_reopen=True,
        )
        name = subscription.rpartition("/")[2]
        self._reader = supervisor.start(f"read-{name}", self._read)
        self._acker = supervisor.start(f"ack-{name}", self._send_all)
        supervisor.start(f"heartbeat-{name}", self._beat)

    def stop(self, timeout_s: float) -> None:
        """Receive no more messages. The messages that were received can still be settled."""
        self._stopping.set()
        self._leases.stop()
        self._rpc.close()
        self._reader.join(timeout_s)

    def close(self, timeout_s: float) -> None:
        """Send the acks and nacks so far; the other messages are delivered again when their leases end."""
        self._leases.close()
        self._acker.join(timeout_s)

    def _read(self) -> None:
        try:
            self._rpc.open()
            while not self._stopping.is_set():
                received = StreamingPullResponse.pb(self._rpc.recv()).received_messages
                self._leases.add({each.ack_id: _memory(each.message) for each in received})
                for each in received:
                    self._pass_on(PulledDelivery(from_pulled(each), each.ack_id, self._leases))
                self._leases.wait_for_capacity()
        except Exception as exc:
            if not self._stopping.is_set():
                self.ended.set_exception(exc)
                return
        self._rpc.close()
        self.ended.set_result(None)

    def _pass_on(self, delivery: PulledDelivery) -> None:
        if self._stopping.is_set():
            delivery.nack()
        else:
            self._receive(delivery)

    def _is_recoverable(self, exc: BaseException) -> bool:
        if isinstance(exc, grpc.RpcError):
            exc = exceptions.from_grpc_error(exc)
        if not isinstance(exc, _RECOVERABLE) or self._stopping.is_set():
            return False
        self._reopenings.note(exc)
        return True

    def _beat(self) -> None:
        with suppress(exceptions.GoogleAPICallError):  # the reading thread gets it too
            while not self._stopping.wait(HEARTBEAT_S) and self._rpc.is_active:
                self._rpc.send(StreamingPullRequest())

    def _send_all(self) -> None:
        while due := self._leases.due():
            for ids in _parts(due.acked):
                self._send(ids, self._acknowledge)
            for ids in _parts(due.nacked):
                self._send(ids, partial(self._extend, 0))
            for ids in _parts(due.extended):
                self._send(ids, partial(self._extend, self._lease_s))

    def _send(self, ids: Sequence[str], call: Callable[[Sequence[str]], None]) -> None:
        try:
            call(ids)
        except exceptions.GoogleAPIError as exc:  # these messages are delivered again, and get the same responses
            log.warning("acks, nacks or lease extensions of %d messages failed: %s", len(ids), exc)

    # The plain protocol buffers: the library's wrappers take ten times as long to fill.

    def _acknowledge(self, ids: Sequence[str]) -> None:
        request = AcknowledgeRequest.pb()(subscription=self._subscription, ack_ids=ids)
        self._client.acknowledge(AcknowledgeRequest(request), retry=_RETRY, timeout=CALL_TIMEOUT_S)

    def _extend(self, seconds: int, ids: Sequence[str]) -> None:
        request = ModifyAckDeadlineRequest.pb()(
            subscription=self._subscription, ack_ids=ids, ack_deadline_seconds=seconds
        )
        self._client.modify_ack_deadline(ModifyAckDeadlineRequest(request), retry=_RETRY, timeout=CALL_TIMEOUT_S)


def _memory(message: Any) -> int:
    """Bytes that a message takes until it is settled: its data, and what is known of each of several images."""
    lines = message.data.count(b"\n") + 1 if has_lines(message.attributes) else 0
    return len(message.data) + _IMAGE_BYTES * lines


def _parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + _IDS] for start in range(0, len(ids), _IDS))
