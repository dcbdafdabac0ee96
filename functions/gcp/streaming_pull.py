"""A streaming pull on Google's generated client: what comes is handed on, what is settled is told in few calls.

The stock client's own streaming pull asks the broker to extend each response's leases before it hands anything on, and
hands each message from thread to thread: more than a small image costs to score.
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

from functions.gcp.lease_manager import Leases
from functions.gcp.reopening import Reopenings
from functions.messages.contract import Envelope
from functions.messages.event_decoder import from_pulled

log = logging.getLogger(__name__)

LEASE_S = 20
"""How long the broker waits for a worker that died; one that lives extends its leases as long as it needs."""

HEARTBEAT_S = 30.0
"""The broker closes a stream that sends nothing for a minute."""

TELL_TIMEOUT_S = 10.0
"""Of a call that tells what is settled, with its retries."""

_SOON = Retry(maximum=1.0, timeout=TELL_TIMEOUT_S)

_IDS = 1000
"""Of a call: a request may have 512 KiB, an ack id some 200 bytes."""

_PASSING = (
    exceptions.Aborted,
    exceptions.DeadlineExceeded,
    exceptions.GatewayTimeout,
    exceptions.InternalServerError,
    exceptions.ResourceExhausted,
    exceptions.ServiceUnavailable,
    exceptions.Unknown,
)
"""After these a stream is opened again, as the stock client does: the broker itself closes each after half an hour."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that came, to be acked or nacked once."""

    envelope: Envelope
    _ack_id: str
    _leases: Leases

    def ack(self) -> None:
        """It is done."""
        self._leases.settle(self._ack_id, True)

    def nack(self) -> None:
        """Somebody is to get it again."""
        self._leases.settle(self._ack_id, False)


class PullStream:
    """One subscription's messages, handed to `receive`, which must not wait, until `stop`.

    `most`, `most_bytes`: of messages that are held at once. `ended`: done when no more come, with the failure if it was
    one that does not pass.
    """

    def __init__(
        self,
        client: SubscriberClient,
        subscription: str,
        receive: Callable[[Delivery], None],
        most: int,
        most_bytes: int,
        lease_s: int = LEASE_S,
    ) -> None:
        self.ended: Future[None] = Future()
        self._client, self._subscription, self._receive, self._lease_s = client, subscription, receive, lease_s
        self._leases = Leases(lease_s, most, most_bytes)
        self._stopping = threading.Event()
        self._reopenings = Reopenings(subscription)
        first = {
            "subscription": subscription,
            "stream_ack_deadline_seconds": lease_s,
            "client_id": uuid.uuid4().hex,
            "max_outstanding_messages": most,
            "max_outstanding_bytes": most_bytes,
        }
        self._rpc = ResumableBidiRpc(
            client.streaming_pull,
            should_recover=self._passes,
            initial_request=StreamingPullRequest(first),
            metadata=[("x-goog-request-params", f"subscription={subscription}")],
            throttle_reopen=True,
        )
        name = subscription.rpartition("/")[2]
        self._reading = threading.Thread(target=self._read, name=f"read-{name}", daemon=True)
        self._telling = threading.Thread(target=self._tell_all, name=f"tell-{name}", daemon=True)
        beating = threading.Thread(target=self._beat, name=f"beat-{name}", daemon=True)
        for thread in (self._reading, self._telling, beating):
            thread.start()

    def stop(self, timeout_s: float) -> None:
        """Have no more messages come; what came can still be settled."""
        self._stopping.set()
        self._leases.stop()
        self._rpc.close()
        self._reading.join(timeout_s)

    def close(self, timeout_s: float) -> None:
        """Tell the broker what is settled by now; what is not comes again when its lease is over."""
        self._leases.close()
        self._telling.join(timeout_s)

    def _read(self) -> None:
        try:
            self._rpc.open()
            while not self._stopping.is_set():
                received = StreamingPullResponse.pb(self._rpc.recv()).received_messages
                self._leases.hold({each.ack_id: len(each.message.data) for each in received})
                for each in received:
                    self._hand_on(Delivery(from_pulled(each), each.ack_id, self._leases))
                self._leases.wait_for_room()
        except Exception as exc:
            if not self._stopping.is_set():
                self.ended.set_exception(exc)
                return
        self._rpc.close()
        self.ended.set_result(None)

    def _hand_on(self, delivery: Delivery) -> None:
        if self._stopping.is_set():
            delivery.nack()
        else:
            self._receive(delivery)

    def _passes(self, exc: BaseException) -> bool:
        if isinstance(exc, grpc.RpcError):
            exc = exceptions.from_grpc_error(exc)
        if not isinstance(exc, _PASSING) or self._stopping.is_set():
            return False
        self._reopenings.note(exc)
        return True

    def _beat(self) -> None:
        with suppress(exceptions.GoogleAPICallError):  # whoever reads gets it too
            while not self._stopping.wait(HEARTBEAT_S) and self._rpc.is_active:
                self._rpc.send(StreamingPullRequest())

    def _tell_all(self) -> None:
        while news := self._leases.news():
            for ids in _parts(news.acked):
                self._tell(ids, self._acknowledge)
            for ids in _parts(news.nacked):
                self._tell(ids, partial(self._extend, 0))
            for ids in _parts(news.extended):
                self._tell(ids, partial(self._extend, self._lease_s))

    def _tell(self, ids: Sequence[str], call: Callable[[Sequence[str]], None]) -> None:
        try:
            call(ids)
        except exceptions.GoogleAPIError as exc:  # they come again, and are answered in the same words
            log.warning("the broker could not be told of %d messages: %s", len(ids), exc)

    # The plain messages: to fill the library's wrappers of them takes ten times as long.

    def _acknowledge(self, ids: Sequence[str]) -> None:
        asked = AcknowledgeRequest.pb()(subscription=self._subscription, ack_ids=ids)
        self._client.acknowledge(AcknowledgeRequest(asked), retry=_SOON, timeout=TELL_TIMEOUT_S)

    def _extend(self, seconds: int, ids: Sequence[str]) -> None:
        asked = ModifyAckDeadlineRequest.pb()(
            subscription=self._subscription, ack_ids=ids, ack_deadline_seconds=seconds
        )
        self._client.modify_ack_deadline(ModifyAckDeadlineRequest(asked), retry=_SOON, timeout=TELL_TIMEOUT_S)


def _parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + _IDS] for start in range(0, len(ids), _IDS))
