"""The one path that every entry point takes: envelope in, response out, published.

A permanent failure is an answer (an error response). A transient one is raised, and the entry point nacks.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Protocol

from functions.errors import PERMANENT, UNAVAILABLE, Expired, UnknownModel, code_of
from functions.messages.contract import Envelope, Error, Model, ObjectRef, Request, Response, Timing, encode_time
from functions.messages.request_decoder import (
    decode_request,
    ignorable,
    is_inline,
    reply_to_of,
    request_id_of,
    source_of,
    trace_of,
)
from functions.messages.trace_context import TraceContext
from functions.observability.request_log import Outcomes
from functions.observability.spans import Spans
from functions.service.response_cache import Recent, identity_of
from functions.service.stage_timer import Clock
from model.engines.base import Images
from model.engines.futures import done
from model.engines.micro_batcher import withdraw
from model.labels import Explanation
from model.predictor import Predictions, Predictor
from model.text import quoted

PUBLISH_TIMEOUT_S = 45.0
"""Below the 55 s of a push request: the failure must reach the broker before it delivers again."""

QUICK_BYTES = 64_000
"""Of an image's file: some milliseconds of decoding, which those beside it in a batch wait for."""

_DIGITS = 18
"""Of a count: any more might not fit into 64 bits."""

DEAD_LETTER_ATTEMPTS = "CloudPubSubDeadLetterSourceDeliveryCount"


class ImageStore(Protocol):
    """Where referenced images are."""

    def fetch(self, ref: ObjectRef, max_bytes: int) -> AbstractContextManager[bytes]:
        """The object's bytes, to be given up when the block ends; blocks.

        Raises ImageNotFound, ImageTooLarge before anything is downloaded, and TimeoutError when there is no memory for
        long.
        """
        ...


class ResponsePublisher(Protocol):
    """Where responses go."""

    def publish(self, response: Response, *, waited: bool = False) -> Future[str]:
        """Returns at once; the future is done when the broker has the response, or fails. From any thread.

        `waited`: the thread does nothing else until then.
        """
        ...


class ResponseStore(Protocol):
    """Where the first answer to each request is."""

    def keep(self, identity: str, response: Response) -> Response:
        """Store an answer unless there is one, and give the one that is stored; blocks. From any thread."""
        ...


@dataclass(frozen=True, slots=True)
class Service:
    """Answers envelopes. Callable from any thread."""

    predictor: Predictor
    model: Model
    images: ImageStore
    responses: ResponsePublisher
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    outcomes: Outcomes = field(default_factory=Outcomes)
    spans: Spans | None = None
    response_store: ResponseStore | None = None
    recent: Recent = field(default_factory=Recent)

    def answer(self, envelope: Envelope) -> Response:
        """Answer a request; permanent failures are answers too, transient ones are raised."""
        clock = Clock(self._queue_ms(envelope))

        def answer() -> Response:
            request = decode_request(envelope)
            prepared = self._prepare(request, envelope, clock)
            predictions = self.predictor.predict(prepared, request.top_k)
            clock.stage("predict")
            # Its time is in the total alone: "predict" is what every request pays.
            why = self.predictor.explain(prepared, predictions[0].label) if request.explain else None
            return self._respond(envelope, clock.timing(), predictions=predictions, explanation=why)

        return self._or_error(envelope, clock, answer)

    def respond(self, envelope: Envelope) -> Response | None:
        """Like `answer`, or None when the envelope asks for nothing (a folder marker, a deleted object).

        What was answered before is answered in the same words: from memory, or across workers from the response store.
        """
        if reason := ignorable(envelope):
            self.outcomes.ignored(envelope, reason)
            return None
        identity = identity_of(envelope, self.model.digest)
        return self._remembered(identity, envelope) or self._keep(identity, envelope, self.answer(envelope))

    def is_quick(self, envelope: Envelope) -> bool:
        """Whether an answer takes a little decoding and the scores, nothing else: then `respond_later` can give it."""
        wants_more = self.response_store or "explain" in envelope.attributes
        return not wants_more and len(envelope.payload) <= QUICK_BYTES and is_inline(envelope)

    def respond_later(self, envelope: Envelope) -> Future[Response]:
        """What `respond` gives to a quick one, without waiting: decoded, too, by the thread that scores.

        Small images come by the thousand, and handing each from thread to thread would cost more than all else.
        """
        identity = identity_of(envelope, self.model.digest)
        if remembered := self._remembered(identity, envelope):
            return done(lambda: remembered)
        clock = Clock(self._queue_ms(envelope))
        try:
            request = decode_request(envelope)
        except PERMANENT:
            return done(lambda: self._keep(identity, envelope, self.answer(envelope)))

        def prepare() -> Images:
            clock.stage("predict")  # it waited for its turn to be scored
            return self._prepare(request, envelope, clock)

        def conclude(predicted: Callable[[], Predictions]) -> Response:
            def answer() -> Response:
                predictions = predicted()
                clock.stage("predict")
                return self._respond(envelope, clock.timing(), predictions=predictions)

            return self._keep(identity, envelope, self._or_error(envelope, clock, answer))

        return self.predictor.predict_later(prepare, request.top_k, conclude)

    def hand_back(self) -> None:
        """Have what waits to be scored fail with Withdrawn."""
        withdraw(self.predictor.engine)

    def announce(self, envelope: Envelope) -> Response | None:
        """The response that tells of a dead letter, or None when the letter asked for nothing."""
        if reason := ignorable(envelope):
            self.outcomes.ignored(envelope, reason)
            return None
        attempts = envelope.attributes.get(DEAD_LETTER_ATTEMPTS, "")
        error = Error(UNAVAILABLE, "the request could not be answered and was set aside as a dead letter")
        made = self._respond(envelope, Timing(queue=self._queue_ms(envelope)), error=error)
        return replace(made, delivery_attempt=int(attempts) if attempts.isdecimal() and len(attempts) < _DIGITS else 0)

    def handle(self, envelope: Envelope) -> None:
        """Answer, publish, wait for the broker. Returning means ack, raising means nack."""
        self._deliver(self.respond(envelope))

    def handle_dead(self, envelope: Envelope) -> None:
        """Announce a dead letter, as `handle` answers a request."""
        self._deliver(self.announce(envelope))

    def flush(self) -> None:
        """Send the spans that are recorded, where there are any: nothing may be left to do between requests."""
        if self.spans:
            self.spans.flush()

    def _deliver(self, response: Response | None) -> None:
        if response:
            try:
                self.responses.publish(response, waited=True).result(PUBLISH_TIMEOUT_S)
                self.outcomes.answered(response)
            finally:
                self.flush()

    def _or_error(self, envelope: Envelope, clock: Clock, answer: Callable[[], Response]) -> Response:
        try:
            return answer()
        except PERMANENT as exc:
            exc.__traceback__ = None  # its frames hold it, and the image: a cycle, which would wait for the collector
            return self._respond(envelope, clock.timing(), error=Error(code_of(exc), str(exc)))

    def _remembered(self, identity: str, envelope: Envelope) -> Response | None:
        remembered = self.recent.get(identity)
        return remembered and _delivered(remembered, envelope, trace_of(envelope))

    def _keep(self, identity: str, envelope: Envelope, response: Response) -> Response:
        kept = self.recent.keep(
            identity, self.response_store.keep(identity, response) if self.response_store else response
        )
        return response if kept is response else _delivered(kept, envelope, response.trace)

    def _prepare(self, request: Request, envelope: Envelope, clock: Clock) -> Images:
        if request.model not in (None, self.model.name, self.model.digest):
            raise UnknownModel(f"model is {quoted(request.model)}; this worker serves {self.model.name!r}")
        self._check_expiry(request.expires_at, envelope.published_at)
        image = request.image
        if isinstance(image, ObjectRef):
            with self.images.fetch(image, self.predictor.limits.max_bytes) as data:
                clock.stage("fetch")
                prepared = self.predictor.prepare(data)
        else:
            prepared = self.predictor.prepare(image)
        clock.stage("decode")
        self._check_expiry(request.expires_at, envelope.published_at)
        return prepared

    def _check_expiry(self, expires: datetime | None, published: datetime | None) -> None:
        """Raise Expired when it is time. The words show each clock's time, so that a wrong clock is recognised."""
        if expires is None:
            return
        said = f"the request expired at {encode_time(expires)} (expires_at)"
        if published and published >= expires:
            raise Expired(
                f"{said}, {(published - expires).total_seconds():.1f} s before it was published, at "
                f"{encode_time(published)} by the broker's clock: the sender's clock may be wrong"
            )
        if (now := self.now()) >= expires:
            since = f"; it was published at {encode_time(published)}" if published else ""
            raise Expired(f"{said}; by the worker's clock it is {encode_time(now)}{since}")

    def _queue_ms(self, envelope: Envelope) -> float:
        if envelope.published_at is None:
            return 0.0
        return round(max(0.0, 1000 * (self.now() - envelope.published_at).total_seconds()), 2)

    def _respond(
        self,
        envelope: Envelope,
        timing: Timing,
        *,
        predictions: Predictions = (),
        explanation: Explanation | None = None,
        error: Error | None = None,
    ) -> Response:
        given = trace_of(envelope)
        response = Response(
            request_id_of(envelope),
            predictions,
            error,
            self.model,
            source_of(envelope),
            timing,
            envelope.delivery_attempt,
            encode_time(self.now()),
            reply_to_of(envelope),
            explanation,
            given,
        )
        return replace(response, trace=self.spans.record(given, response)) if self.spans else response


def _delivered(response: Response, envelope: Envelope, trace: TraceContext | None) -> Response:
    """The words are those of before; who gets them, and within which trace, is the delivery's."""
    return replace(response, reply_to=reply_to_of(envelope), trace=trace)
