"""Handles deliveries: one response to each, published before the ack. Only this module acks and nacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from functions.errors import UNAVAILABLE
from functions.messages.contract import (
    DEAD_LETTER,
    Decoded,
    Envelope,
    Error,
    Ignored,
    Rejected,
    Request,
    Response,
    Timing,
)
from functions.messages.image_lines import RESPONSES, decode_lines, has_lines
from functions.messages.request_decoder import decode
from functions.messages.response_list import list_attributes
from functions.messages.trace_context import TraceContext
from functions.observability.request_log import RequestLog
from functions.service.in_flight import InFlight, Started
from functions.service.last_failures import LastFailures
from functions.service.models import Choice
from functions.service.pipeline import Pipeline
from functions.service.ports import Delivery, ResponsePublisher, ResponseStore, SinglePublisher
from functions.service.response_cache import ResponseCache, identity_of
from functions.service.several import ImageDelivery, ListPublisher, SharedDelivery

T = TypeVar("T")

PUBLISH_TIMEOUT_S = 45.0
"""Below the 55 s of a push request: the nack must reach the broker before it delivers again."""


@dataclass(slots=True)
class AwaitedDelivery:
    """A delivery that an HTTP request carries and whose outcome is the reply to it."""

    envelope: Envelope
    is_awaited: bool = True
    is_acked: bool = False
    response: Response | None = None
    """The published response."""

    def ack(self, response: Response | None, /) -> None:
        """Let the reply be a success."""
        self.is_acked, self.response = True, response

    def nack(self) -> None:
        """Let the reply be 503."""


@dataclass(frozen=True, slots=True)
class Handler:
    """Publishes the response to each delivery and acks it; nacks it after a transient failure. From any thread.

    A request that was answered before gets the same response: from the cache, or across workers from the store.
    """

    pipeline: Pipeline
    publisher: ResponsePublisher
    request_log: RequestLog = field(default_factory=RequestLog)
    response_store: ResponseStore | None = None
    response_cache: ResponseCache = field(default_factory=ResponseCache)
    in_flight: InFlight = field(default_factory=InFlight)
    last_failures: LastFailures = field(default_factory=LastFailures)

    def handle(
        self, delivery: Delivery, *, is_dead_letter: bool = False, publisher: ResponsePublisher | None = None
    ) -> None:
        """Handle a request. Returns when it is settled if the delivery is awaited, and at once if not.

        The response to a dead letter has the error `unavailable`. `publisher`: another one than for other deliveries.
        """
        publisher = publisher or self.publisher
        work = _Work(self, delivery, publisher, partial(self._settled, delivery, self.in_flight.begin()))
        try:
            envelope = delivery.envelope
            requests = decode_lines(envelope) if has_lines(envelope.attributes) else decode(envelope)
        except Exception as exc:
            work.nack(exc)
            return
        if isinstance(requests, list):
            answered = self.answer(
                envelope, requests, is_dead_letter=is_dead_letter, waited=delivery.is_awaited, publisher=publisher
            )
            work.after(answered, work.settle)
        else:
            work.start(requests, is_dead_letter)

    def answer(
        self,
        envelope: Envelope,
        requests: Sequence[Request | Rejected],
        *,
        is_dead_letter: bool = False,
        waited: bool = False,
        publisher: ResponsePublisher | None = None,
    ) -> Future[Sequence[Response | None]]:
        """Answer the requests of one message at the same time, each like a message of its own.

        The future ends with the published responses, in the order of the requests; None for those that are to be
        delivered again. It never fails. `waited`: a thread does nothing else until then. `publisher`: as in `handle`.
        """
        publisher = publisher or self.publisher
        lists = None
        if RESPONSES in envelope.attributes:
            lists = ListPublisher(publisher, requests, list_attributes(envelope, requests[0].reply_to), waited)
        shared = SharedDelivery(envelope, len(requests), lists)
        works = [_Work(self, ImageDelivery(shared, index), lists or publisher) for index in range(len(requests))]
        if is_dead_letter:
            for work, request in zip(works, requests, strict=True):
                work.start(request, is_dead_letter)
        else:
            self._make(list(zip(works, requests, strict=True)))
        return shared.settled

    def _make(self, asked: Sequence[tuple[_Work, Request | Rejected]]) -> None:
        """Make the responses to several requests, as far as they are not in the cache."""
        chosen = [(work, request, choice) for work, request in asked if (choice := work.chosen(request))]
        wanted = [(work, request, choice) for work, request, choice in chosen if work.is_new(request, choice)]
        try:
            made = self.pipeline.submit_all([(request, choice) for _, request, choice in wanted])
        except Exception as exc:
            for work, _, _ in wanted:
                work.nack(exc)
            return
        for (work, _, _), response in zip(wanted, made, strict=True):
            response.add_done_callback(work.keep)

    def _settled(self, delivery: Delivery, started: Started) -> None:
        self.in_flight.settle(started)
        if delivery.is_awaited:
            self.pipeline.flush()

    def begin(self, delivery: Delivery) -> bool:
        """Handle a request if no step waits, and return at once. Otherwise return False: `handle` may wait."""
        envelope = delivery.envelope
        if self.response_store or has_lines(envelope.attributes):
            return False
        request = decode(envelope)
        if not (choice := self.pipeline.at_hand(request)):
            return False
        assert isinstance(request, Request), "only a request has a model at hand"
        settled = partial(self._settled, delivery, self.in_flight.begin())
        _Work(self, delivery, self.publisher, settled, request).make_at_once(request, choice)
        return True


@dataclass(slots=True, eq=False)
class _Work:
    """One delivery from its arrival to its ack. Each step runs in the thread that completed the one before."""

    handler: Handler
    delivery: Delivery
    publisher: SinglePublisher
    settled: Callable[[], None] | None = None
    request: Decoded | None = None
    identity: str = ""

    def start(self, request: Request | Rejected | Ignored, is_dead_letter: bool) -> None:
        self.request = request
        try:
            if isinstance(request, Ignored):
                self.handler.request_log.ignored(request)
                self.ack(None)
            elif is_dead_letter:
                self.announce(request)
            else:
                self.after(self.handler.pipeline.models.choose(request), partial(self.submit, request))
        except Exception as exc:
            self.nack(exc)

    def chosen(self, request: Request | Rejected) -> Choice | None:
        """The model for a request. None when it is not known yet, or not to be had: the next steps are then taken."""
        self.request = request
        try:
            choosing = self.handler.pipeline.models.choose(request)
            if choosing.done():
                return choosing.result()
            choosing.add_done_callback(partial(self.submit, request))
        except Exception as exc:
            self.nack(exc)
        return None

    def submit(self, request: Request | Rejected, choosing: Future[Choice]) -> None:
        try:
            choice = choosing.result()
            if self.is_new(request, choice):
                made = self.handler.pipeline.submit(request, choice, waited=self.delivery.is_awaited)
                self.after(made, self.keep)
        except Exception as exc:
            self.nack(exc)

    def make_at_once(self, request: Request, choice: Choice) -> None:
        try:
            if self.is_new(request, choice):
                self.after(self.handler.pipeline.submit_at_hand(request, choice), self.keep)
        except Exception as exc:
            self.nack(exc)

    def is_new(self, request: Request | Rejected, choice: Choice) -> bool:
        """Whether a request has no response yet. Publishes again the response to an earlier delivery."""
        self.identity = identity_of(request, choice.served.model.digest)
        if cached := self.handler.response_cache.get(self.identity):
            self.publish(_readdressed(cached, request, request.trace))
        return cached is None

    def announce(self, request: Request | Rejected) -> None:
        pipeline = self.handler.pipeline
        failure = self.handler.last_failures.get(request.request_id)
        error = Error(UNAVAILABLE, f"{DEAD_LETTER}: {failure}" if failure else DEAD_LETTER)
        response = pipeline.respond(
            request, Timing(queue=pipeline.queue_ms(request)), pipeline.models.default, error=error
        )
        self.publish(replace(response, delivery_attempt=request.dead_letter_attempts))

    def keep(self, made: Future[Response]) -> None:
        """Publish the response that is made, or the one that was stored before."""
        handler = self.handler
        try:
            response = made.result()
            first = handler.response_store.keep(self.identity, response) if handler.response_store else response
            first = handler.response_cache.keep(self.identity, first)
            assert self.request
            self.publish(response if first is response else _readdressed(first, self.request, response.trace))
        except Exception as exc:
            self.nack(exc)

    def publish(self, response: Response) -> None:
        published = self.publisher.publish(response, waited=self.delivery.is_awaited)
        self.after(published, partial(self.confirm, response))

    def confirm(self, response: Response, published: Future[str]) -> None:
        try:
            published.result(PUBLISH_TIMEOUT_S)
        except Exception as exc:
            self.nack(exc)
        else:
            self.ack(response)

    def ack(self, response: Response | None) -> None:
        try:
            self.delivery.ack(response)
            if response:
                self.handler.request_log.answered(response)
        finally:
            self._settle()

    def nack(self, failure: Exception) -> None:
        # The log line precedes the nack, so that the log explains each dead letter.
        try:
            if isinstance(failure, CancelledError):
                self.handler.request_log.cancelled(self.request)
            else:
                self.handler.request_log.nacked(self.request, failure)
                if self.request:
                    self.handler.last_failures.keep(self.request.request_id, failure)
            self.delivery.nack()
        finally:
            self._settle()

    def settle(self, answered: Future[Sequence[Response | None]]) -> None:
        """Ack a message whose images are all answered, and nack one with another image."""
        try:
            if None in answered.result():
                self.delivery.nack()
            else:
                self.delivery.ack(None)
        finally:
            self._settle()

    def _settle(self) -> None:
        if self.settled:
            self.settled()

    def after(self, future: Future[T], step: Callable[[Future[T]], None]) -> None:
        """Take the next step when the future ends: a delivery that is awaited waits for it."""
        if self.delivery.is_awaited:
            step(future)
        else:
            future.add_done_callback(step)


def _readdressed(response: Response, request: Decoded, trace: TraceContext | None) -> Response:
    """An earlier response for another delivery: reply_to and trace are the delivery's."""
    return replace(response, reply_to=request.reply_to, trace=trace)
