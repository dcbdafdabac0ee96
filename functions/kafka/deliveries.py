"""Makes deliveries of messages, and retries and dead letters of those that are nacked."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from functions.kafka.assignment import Held
from functions.kafka.message_headers import NoRequestId, request_envelope
from functions.kafka.publisher import KafkaResponses, NotPublished, OutMessage, Publish
from functions.kafka.retries import RetryPolicy, dead_letter_of, retry_of
from functions.messages.contract import Envelope, Response
from functions.messages.request_decoder import DEAD_LETTER_ATTEMPTS
from functions.service.handler import Handler

log = logging.getLogger(__name__)

AGAIN_S = 5.0
"""Seconds after which a retry or a dead letter that the brokers did not take is published again."""


class HeldMessage(Protocol):
    """A message that the brokers count as unfinished. Callable from any thread."""

    @property
    def message(self) -> Any:
        """The confluent_kafka.Message."""
        ...

    @property
    def publish(self) -> Publish:
        """Publishes what the message leads to."""
        ...

    def discard(self) -> None:
        """Publish nothing of what was given to `publish` and is not sent yet."""
        ...

    def finish(self) -> None:
        """The message is answered, or has another in its place."""
        ...

    def reject(self) -> None:
        """The message is a dead letter."""
        ...

    def leave(self) -> None:
        """Have the brokers deliver the message again, here or to another worker."""
        ...


@dataclass(frozen=True, slots=True)
class Names:
    """Names of topics and of the group. `retry`: the delay topic; empty: a nacked message is left to the brokers."""

    requests: str
    responses: str
    dead: str
    group: str
    retry: str = ""


@dataclass(frozen=True, slots=True)
class KafkaDelivery:
    """One delivery of a message."""

    envelope: Envelope
    held: HeldMessage
    _nacked: Callable[[KafkaDelivery], None]
    _acked: Callable[[], None]
    is_awaited: bool = False

    def ack(self, response: Response | None = None, /) -> None:
        """Count the message as finished."""
        self._acked()

    def nack(self) -> None:
        """Have the message delivered again after a while, or make a dead letter of it."""
        self._nacked(self)


class Deliveries:
    """Passes messages to the handler as deliveries. Callable from any thread.

    `later(seconds, call)` makes a call at a later time. `is_stopping`: whether the worker stops; what is nacked then is
    left as it is, and its next delivery counts like this one. `in_transactions`: responses go out with the offset of
    their request.
    """

    def __init__(
        self,
        handler: Handler,
        names: Names,
        policy: RetryPolicy,
        later: Callable[[float, Callable[[], None]], None],
        is_stopping: Callable[[], bool],
        in_transactions: bool = False,
    ) -> None:
        self._handler, self._names, self._policy = handler, names, policy
        self._later, self._is_stopping, self._in_transactions = later, is_stopping, in_transactions

    def receive(self, held: HeldMessage) -> None:
        """Handle a message; returns at once."""
        try:
            envelope = request_envelope(held.message)
        except NoRequestId as exc:
            self._handler.request_log.malformed(str(exc))
            self._bury(held, None, str(exc), 1, held.reject)
            return
        delivery = KafkaDelivery(envelope, held, self._nacked, held.finish)
        if envelope.delivery_attempt > self._policy.max_attempts:
            self._give_up(delivery)
        else:
            self._handler.handle(delivery, publisher=self._responses(held))

    def _responses(self, held: HeldMessage) -> KafkaResponses | None:
        return KafkaResponses(self._names.responses, held.publish) if self._in_transactions else None

    def _nacked(self, delivery: KafkaDelivery) -> None:
        held, attempts = delivery.held, delivery.envelope.delivery_attempt
        held.discard()
        if self._is_stopping():
            held.leave()
        elif attempts >= self._policy.max_attempts:
            self._give_up(delivery)
        elif self._names.retry:
            self._replace(held, self._retry_of(held, attempts), held.finish)
        else:
            held.leave()

    def refused(self, held: Held, reason: str) -> None:
        """The brokers refuse, in a transaction, what a message led to: it is delivered again later.

        Raises NotPublished when they refuse that too, because nothing else can be done.
        """
        if any(message.topic in (self._names.retry, self._names.dead) for message in held.outgoing):
            raise NotPublished(f"a request cannot be published again: {reason}")
        attempts = request_envelope(held.message).delivery_attempt
        log.error("a response is refused, and its request delivered again later: %s", reason)
        held.discard()
        held.publish(self._retry_of(held, attempts))

    def _retry_of(self, held: HeldMessage, attempts: int) -> OutMessage:
        return retry_of(held.message, self._names.retry, attempts, self._policy.backoff_s(attempts))

    def _give_up(self, delivery: KafkaDelivery) -> None:
        envelope = delivery.envelope
        attempts = min(envelope.delivery_attempt, self._policy.max_attempts)
        request_id = envelope.attributes.get("request_id") or envelope.id
        failure = self._handler.last_failures.get(request_id)
        reason = f"no response after {attempts} deliveries" + (f": {failure}" if failure else "")
        self._bury(delivery.held, request_id, reason, attempts, partial(self._announce, delivery, attempts))

    def _bury(
        self, held: HeldMessage, request_id: str | None, reason: str, attempts: int, then: Callable[[], None]
    ) -> None:
        """Publish a message as a dead letter, log that, and call `then`."""

        def confirmed() -> None:
            fields = {"request_id": request_id, "reason": reason, "delivery_attempt": attempts}
            log.warning("dead letter", extra=fields)
            then()

        dead_letter = dead_letter_of(held.message, self._names.dead, self._names.group, reason, attempts)
        self._replace(held, dead_letter, confirmed)

    def _announce(self, delivery: KafkaDelivery, attempts: int) -> None:
        """Publish the error response that a dead letter has."""

        def failed(_: KafkaDelivery) -> None:
            self._later(AGAIN_S, partial(self._announce, delivery, attempts))

        attributes = {**delivery.envelope.attributes, DEAD_LETTER_ATTEMPTS: str(attempts)}
        envelope = replace(delivery.envelope, attributes=attributes)
        announced = KafkaDelivery(envelope, delivery.held, failed, delivery.held.reject)
        self._handler.handle(announced, is_dead_letter=True, publisher=self._responses(delivery.held))

    def _replace(self, held: HeldMessage, message: OutMessage, then: Callable[[], None]) -> None:
        """Publish a message in the place of another; call `then` once the brokers have it."""

        def published(confirmed: Future[str]) -> None:
            if failure := confirmed.exception():
                log.error("a retry or a dead letter is not published, and will be tried again: %s", failure)
                self._later(AGAIN_S, partial(self._replace, held, message, then))
            else:
                then()

        held.publish(message).add_done_callback(published)
