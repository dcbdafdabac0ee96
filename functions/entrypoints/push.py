"""The push entry point: messages, bucket notifications and dead letters that Pub/Sub or Eventarc post.

The reply 204 is an ack and 503 a nack. 400 is a nack too, for an event without a message that can be read: the broker
delivers it again and at last makes it a dead letter, where a person sees it.
"""

from __future__ import annotations

import threading
from contextlib import nullcontext
from dataclasses import dataclass

from functions import bootstrap
from functions.entrypoints.http import HttpReply, HttpRequest, Reply, text_reply
from functions.entrypoints.request_body import BodyTooLarge, read_body
from functions.errors import InvalidRequest
from functions.gcp.push_tokens import Unauthorized
from functions.messages.contract import Envelope, Response
from functions.messages.event_decoder import from_http
from functions.messages.request_decoder import decode
from functions.runtime.payload_memory import Reserve
from functions.service.handler import AwaitedDelivery

MAX_EVENT_BYTES = 15_000_000
"""Largest body: a message of 10 MB in base64, and its attributes."""

LARGE_EVENT_BYTES = 1_000_000
_large_event = threading.Lock()
"""Serializes the reading of large events: their JSON takes several times their bytes of memory."""

_ACK, _NACK = HttpReply(204), text_reply(503, "not now; deliver it again")


@dataclass(frozen=True, slots=True)
class _Pushed:
    """A delivery that is acked or nacked by the reply to its request, from any thread."""

    envelope: Envelope
    reply: Reply
    is_awaited: bool = False

    def ack(self, response: Response | None, /) -> None:
        self.reply(_ACK)

    def nack(self) -> None:
        self.reply(_NACK)


def begin_push(request: HttpRequest, reply: Reply) -> bool:
    """Begin to handle a message if no step waits. Returns False when `receive` must, which also reports errors."""
    try:
        handler = bootstrap.ready_handler()
        if not handler or bootstrap.push_authorizer():
            return False
        envelope = from_http(request.headers, read_body(request.body, MAX_EVENT_BYTES))
    except Exception:  # `receive` meets and reports it
        return False
    return handler.begin(_Pushed(envelope, reply))


def receive_dead_letter(request: HttpRequest) -> HttpReply:
    """Handle a dead letter: its sender gets an `unavailable` response."""
    return receive(request, is_dead_letter=True)


def receive(request: HttpRequest, *, is_dead_letter: bool = False) -> HttpReply:
    """Handle a message or a bucket notification, pushed or as a CloudEvent."""
    if refusal := _unauthorized(request):
        return refusal
    with bootstrap.payload_budget().reservation() as reserve:
        try:
            envelope = _read(request, reserve)
        except (InvalidRequest, BodyTooLarge) as exc:
            bootstrap.request_log().malformed(str(exc))
            return text_reply(413 if isinstance(exc, BodyTooLarge) else 400, str(exc))
        except Exception as exc:
            return _nack(exc)
        delivery = AwaitedDelivery(envelope)
        try:
            handler = bootstrap.handler()
        except Exception as exc:
            return _nack(exc, envelope)
        handler.handle(delivery, is_dead_letter=is_dead_letter)
        return _ACK if delivery.is_acked else _NACK


def _read(request: HttpRequest, reserve: Reserve) -> Envelope:
    body = read_body(request.body, MAX_EVENT_BYTES, reserve)
    with _large_event if len(body) > LARGE_EVENT_BYTES else nullcontext():
        return from_http(request.headers, body)


def _unauthorized(request: HttpRequest) -> HttpReply | None:
    """Authorize a push before its body is read. Returns the error reply, or None when it is authorized."""
    try:
        if authorizer := bootstrap.push_authorizer():
            authorizer.check(request.headers.get("Authorization"))
    except Unauthorized as exc:
        bootstrap.request_log().refused(str(exc))
        return text_reply(exc.status, str(exc), {"WWW-Authenticate": "Bearer"})
    except Exception as exc:
        return _nack(exc)
    return None


def _nack(failure: Exception, envelope: Envelope | None = None) -> HttpReply:
    bootstrap.request_log().nacked(decode(envelope) if envelope else None, failure)
    return _NACK
