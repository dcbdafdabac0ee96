"""Logs and counts how each request ended, in one place, so that log and counts never disagree."""

from __future__ import annotations

import logging
import threading
from collections import Counter, OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from functions.errors import UNAVAILABLE
from functions.messages.contract import Decoded, Ignored, Response, encode_time
from model.labels import assigned

log = logging.getLogger(__name__)

OUTCOMES = ("ok", "error", "ignored", "nacked", "malformed", "refused")

MODELS = 32
"""Number of models whose expected scores are kept, those that answered last: more than a worker has loaded at once."""

NOT_READY = 20
"""Transient failures in a row after which the worker is not ready."""


class RequestLog:
    """The outcomes since the process began. Callable from any thread.

    ok, error: a response was published or returned. ignored: the message requested no response. nacked: a transient
    failure. malformed: no request could be read. refused: unauthorized, or over the worker's capacity, and not read.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._outcomes: Counter[str] = Counter()
        self._codes: Counter[str] = Counter()
        self._copies: Counter[str] = Counter()
        self._failures = 0
        self._since = encode_time(datetime.now(UTC))
        self._expected: OrderedDict[str, Mapping[str, float | None]] = OrderedDict()

    def expect(self, digest: str, scores: Mapping[str, float | None]) -> None:
        """Log with each score of a model the mean score of its label on validation images, where it is known."""
        with self._lock:
            self._expected[digest] = scores
            self._expected.move_to_end(digest)
            if len(self._expected) > MODELS:
                self._expected.popitem(last=False)

    def why_not_ready(self) -> str:
        """Why the worker should get no requests, as a sentence; empty while it works."""
        with self._lock:
            failures = self._failures
        return f"the last {failures} requests failed for a reason of the worker's" if failures >= NOT_READY else ""

    def answered(self, response: Response, failure: Exception | None = None) -> None:
        """A response was published or returned; `failure` is the reason of an `unavailable`."""
        timing, error = response.timing_ms, response.error
        if not error or error.code != UNAVAILABLE:
            self._count_failures(0)
        elif failure:
            self._count_failures(1)
        level = logging.INFO if not error else logging.ERROR if error.code == UNAVAILABLE else logging.WARNING
        code = error.code if error else None
        if not log.isEnabledFor(level):
            self._count(response.status, code)
            return
        label, score = next(iter(assigned(response.predictions, response.labels)), (None, None))
        self._end(
            "answered",
            level,
            response.status,
            code,
            failure,
            request_id=response.request_id,
            model=response.model.name if response.model else None,
            version=response.model.version if response.model else None,
            label=label,
            score=score,
            labels=response.labels,
            expected_score=self._expected_score(response, label),
            delivery_attempt=response.delivery_attempt,
            timing_ms={name: getattr(timing, name) for name in ("queue", "fetch", "decode", "predict", "total")},
            trace=response.trace,
        )

    def _expected_score(self, response: Response, label: str | None) -> float | None:
        if not response.model or not label:
            return None
        with self._lock:
            scores = self._expected.get(response.model.digest)
            if scores is None:
                return None
            self._expected.move_to_end(response.model.digest)
            return scores.get(label)

    def ignored(self, notification: Ignored) -> None:
        """A notification that requests no prediction."""
        self._end(
            "ignored",
            logging.INFO,
            "ignored",
            request_id=notification.request_id,
            reason=notification.reason,
            trace=notification.trace,
        )

    def nacked(self, request: Decoded | None, failure: Exception) -> None:
        """A transient failure: the broker delivers the message again. None: the message was not read."""
        self._count_failures(1)
        self._end("nacked", logging.ERROR, "nacked", UNAVAILABLE, failure, delivery=request)

    def cancelled(self, request: Decoded | None) -> None:
        """A request that was still queued when the worker stopped; the broker delivers it to another worker."""
        self._end("cancelled", logging.INFO, "nacked", reason="the worker is stopping", delivery=request)

    def malformed(self, reason: str) -> None:
        """An event without a readable message, so that no response is possible."""
        self._end("malformed event", logging.WARNING, "malformed", reason=reason)

    def refused(self, reason: str) -> None:
        """A request from a sender without authorization, to a closed endpoint, or over the worker's capacity."""
        self._end("refused", logging.WARNING, "refused", reason=reason)

    def copied(self, outcome: str) -> dict[str, int]:
        """A copy of a request, for a shadow, was compared, failed or was dropped. Returns the numbers of each."""
        with self._lock:
            self._copies[outcome] += 1
            return dict(self._copies)

    def counts(self) -> dict[str, Any]:
        """The time of the start, the numbers of each outcome and each error code, and those of the shadows' copies."""
        with self._lock:
            outcomes = {name: self._outcomes[name] for name in OUTCOMES}
            copies = {"copies": dict(self._copies)} if self._copies else {}
            return {"since": self._since, "outcomes": outcomes, "codes": dict(self._codes), **copies}

    def _count(self, outcome: str, code: str | None) -> None:
        with self._lock:
            self._outcomes[outcome] += 1
            if code:
                self._codes[code] += 1

    def _count_failures(self, more: int) -> None:
        with self._lock:
            self._failures = self._failures + more if more else 0

    def _end(
        self,
        message: str,
        level: int,
        outcome: str,
        code: str | None = None,
        failure: Exception | None = None,
        delivery: Decoded | None = None,
        **fields: object,
    ) -> None:
        if delivery:
            fields |= {
                "request_id": delivery.request_id,
                "message_id": delivery.message_id,
                "delivery_attempt": delivery.delivery_attempt,
                "trace": delivery.trace,
            }
        self._count(outcome, code)
        log.log(level, message, extra={"outcome": outcome, "code": code, **fields}, exc_info=failure)
