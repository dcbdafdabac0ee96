"""From a request to its response: expiry, fetch, decoding, scoring, explanation, features.

A permanent failure is an error response. A transient failure is the exception of the response's future.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol, TypeVar

from functions.errors import PERMANENT, Expired, InvalidRequest, code_of
from functions.messages.contract import (
    Decoded,
    Error,
    ObjectRef,
    Rejected,
    Request,
    Response,
    Timing,
    encode_time,
)
from functions.messages.image_as_text import image_as_text
from functions.observability.spans import Spans
from functions.service.chunk import Chunk
from functions.service.models import Choice, Models, ServedModel
from functions.service.ports import ObjectStore
from functions.service.stage_timer import StageTimer
from model.engines.base import MAX_FEATURES, AsyncEngine, Images, Scores
from model.errors import InvalidImage
from model.labels import Explanation
from model.predictor import Predictions, Predictor

T = TypeVar("T")

_utc_now = partial(datetime.now, UTC)

SMALL_BYTES = 64_000
"""Largest image file that the scoring threads decode: some milliseconds, for which the rest of the batch waits."""


class CallerRuns(Executor):
    """Runs each call at once, in the thread that submits it."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """A future that has ended."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as exc:
            future.set_exception(exc)
        return future


_CALLER = CallerRuns()


class Copies(Protocol):
    """Scores copies of requests by the shadows of a model. Callable from any thread."""

    def offer(self, pipeline: Pipeline, request: Request, choice: Choice, answer: Response) -> None:
        """Score a copy of a request by each shadow of its choice, later; returns at once."""
        ...


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Makes responses. Callable from any thread.

    `executor` runs what blocks, unless the calling thread waits for it; by default the calling thread does. With
    `decodes_in_batches`, small images go to the scoring threads of their model, without a change of thread for each
    image.
    """

    models: Models
    objects: ObjectStore
    executor: Executor = field(default_factory=CallerRuns)
    decodes_in_batches: bool = False
    spans: Spans | None = None
    copies: Copies | None = None
    now: Callable[[], datetime] = _utc_now

    def at_hand(self, request: Decoded) -> Choice | None:
        """The model for a request of which no step waits, for `submit_at_hand`; otherwise None."""
        is_quick = not self.spans and isinstance(request, Request) and _is_small(request)
        choice = self.models.at_hand(request) if is_quick else None
        return choice if choice and choice.served.batches else None

    def submit_at_hand(self, request: Request, choice: Choice) -> Future[Response]:
        """As `submit`, for a choice of `at_hand`: returns without waiting."""
        work, batches = _Work(self, request, choice, StageTimer(self.queue_ms(request))), choice.served.batches
        assert batches, "a model at hand has threads that score"
        responded: Future[Response] = Future()
        Chunk([(work, responded)]).submit(batches)
        return responded

    def submit(
        self, request: Request | Rejected, choice: Choice | None = None, *, waited: bool = False
    ) -> Future[Response]:
        """The response to a request by the model of `choice`; without one, it waits for the choice.

        `waited`: the calling thread does nothing else until there is a response, so it makes the response itself. The
        future fails with a transient failure, or CancelledError after `cancel`.
        """
        choice, executor = choice or self.models.choose(request).result(), _CALLER if waited else self.executor
        if isinstance(request, Rejected):
            return executor.submit(self._reject, request, choice.served)
        if choice.served.batches and self.decodes_in_batches and not waited and _is_small(request):
            return self.submit_at_hand(request, choice)
        work = _Work(self, request, choice, StageTimer(self.queue_ms(request)))
        return executor.submit(work.conclude, work.score)

    def submit_all(self, asked: Sequence[tuple[Request | Rejected, Choice]]) -> list[Future[Response]]:
        """The responses to several requests, in their order; those that `submit` makes of each."""
        responses = list[Future[Response]]()
        together = defaultdict[AsyncEngine, list[tuple[_Work, Future[Response]]]](list)
        for request, choice in asked:
            batches = choice.served.batches
            if not (isinstance(request, Request) and batches and self.decodes_in_batches and _is_small(request)):
                responses.append(self.submit(request, choice))
                continue
            responded: Future[Response] = Future()
            together[batches].append((_Work(self, request, choice, StageTimer(self.queue_ms(request))), responded))
            responses.append(responded)
        for batches, works in together.items():
            size = batches.max_batch_size
            for start in range(0, len(works), size):
                Chunk(works[start : start + size]).submit(batches)
        return responses

    def _reject(self, request: Rejected, served: ServedModel) -> Response:
        error = Error("invalid_request", request.reason)
        return self.respond(request, Timing(queue=self.queue_ms(request)), served, error=error)

    def cancel(self) -> None:
        """Cancel queued requests. No request may be submitted afterwards."""
        self.executor.shutdown(wait=False, cancel_futures=True)
        self.models.cancel()

    def respond(
        self,
        request: Decoded,
        timing: Timing,
        served: ServedModel,
        *,
        predictions: Predictions = (),
        labels: tuple[str, ...] | None = None,
        explanation: Explanation | None = None,
        features: bytes | None = None,
        error: Error | None = None,
    ) -> Response:
        """A response to a message, recorded as a span."""
        response = Response(
            request.request_id,
            predictions,
            error,
            served.model,
            request.source,
            timing,
            request.delivery_attempt,
            encode_time(self.now()),
            request.reply_to,
            explanation,
            request.trace,
            labels,
            features,
        )
        return replace(response, trace=self.spans.record(request.trace, response)) if self.spans else response

    def queue_ms(self, request: Decoded) -> float:
        """Milliseconds since the broker had the message; 0 when that is not known."""
        if request.published_at is None:
            return 0.0
        return round(max(0.0, 1000 * (self.now() - request.published_at).total_seconds()), 2)

    def flush(self) -> None:
        """Send the recorded spans, and finish what needs CPU: between requests there may be none."""
        self.models.finish()
        if self.spans:
            self.spans.flush()


@dataclass(slots=True)
class _Work:
    """One request in its stages."""

    pipeline: Pipeline
    request: Request
    choice: Choice
    timer: StageTimer
    images: Images | None = None
    """The prepared image [1, height, width, channels], where an explanation or features need it."""

    def prepare(self) -> Images:
        """The prepared image [1, height, width, channels]; blocks. Not for a combined model."""
        predictor, options = self.choice.served.predictor, self.request.options
        assert isinstance(predictor, Predictor)
        prepared = self._with_image(predictor.prepare)
        self.timer.stage("decode")
        self._check_expiry()
        if options.explain or options.features:
            self.images = prepared
        return prepared

    def score(self) -> Scores:
        """The scores [1, labels]; blocks."""
        predictor, options = self.choice.served.predictor, self.request.options
        if isinstance(predictor, Predictor):
            return predictor.engine.score(self.prepare())
        for name, wanted in (("explain", options.explain), ("features", options.features)):
            if wanted:
                model = self.choice.served.model.name
                raise InvalidRequest(f"{name} is true; the model {model!r} combines several models, and has none")
        return self._with_image(predictor.score)

    def _with_image(self, use: Callable[[bytes], T]) -> T:
        """What `use` makes of the image file; blocks."""
        self.timer.stage("predict")  # it waited for its turn
        image = self.request.image
        if self.choice.error:
            raise self.choice.error
        self._check_expiry()
        with self._fetched(image) if isinstance(image, ObjectRef) else nullcontext(image) as data:
            try:
                return use(data)
            except InvalidImage:
                if sentence := image_as_text(data):
                    raise InvalidImage(sentence) from None
                raise

    @contextmanager
    def _fetched(self, image: ObjectRef) -> Iterator[bytes]:
        with self.pipeline.objects.fetch(image, self.choice.served.predictor.max_bytes) as data:
            self.timer.stage("fetch")
            yield data

    def conclude(self, scores: Callable[[], Scores]) -> Response:
        """The response that the scores make; calling `scores` returns [1, labels] or raises what went wrong before."""
        predictor, options, explanation, features = self.choice.served.predictor, self.request.options, None, None
        try:
            row = scores()[0]
            predictions = predictor.rank(row, options.top_k)
            labels = predictor.assigned(row)
            self.timer.stage("predict")
            if self.images is not None and isinstance(predictor, Predictor):  # its time is part of the total alone
                if options.explain:
                    explanation = predictor.explain(self.images, predictions[0].label)
                if options.features:
                    features = self._features(predictor, self.images)
        except PERMANENT as exc:
            exc.__traceback__ = None  # its frames hold the exception and the image: a cycle for the garbage collector
            return self._respond(error=Error(code_of(exc), str(exc)))
        response = self._respond(
            predictions=predictions,
            labels=labels,
            explanation=explanation,
            features=features,
        )
        if self.choice.shadows and self.pipeline.copies:
            self.pipeline.copies.offer(self.pipeline, self.request, self.choice, response)
        return response

    def _respond(self, **found: Any) -> Response:
        return self.pipeline.respond(self.request, self.timer.timing(), self.choice.served, **found)

    def _features(self, predictor: Predictor, images: Images) -> bytes:
        features = predictor.features(images)
        if features is None:
            model = self.choice.served.model
            raise InvalidRequest(
                f"features is true; the model {model.name!r} has none with the engine {model.engine}. The engines "
                "litert and savedmodel give what the last layer takes, if it is dense: at most "
                f"{MAX_FEATURES:,} numbers of float16"
            )
        return features

    def _check_expiry(self) -> None:
        """Raise Expired after expires_at. The sentence states the time of each clock, so that a wrong one shows."""
        expires, published = self.request.options.expires_at, self.request.published_at
        if expires is None:
            return
        expired = f"the request expired at {encode_time(expires)} (expires_at)"
        if published and published >= expires:
            raise Expired(
                f"{expired}, {(published - expires).total_seconds():.1f} s before it was published, at "
                f"{encode_time(published)} by the broker's clock: the sender's clock may be wrong"
            )
        if (now := self.pipeline.now()) >= expires:
            since = f"; it was published at {encode_time(published)}" if published else ""
            raise Expired(f"{expired}; by the worker's clock it is {encode_time(now)}{since}")


def _is_small(request: Request) -> bool:
    image, options = request.image, request.options
    return isinstance(image, bytes) and len(image) <= SMALL_BYTES and not (options.explain or options.features)
