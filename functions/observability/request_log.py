"""How each request ended: one line in the log and one count, made in one place so that they never disagree."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from functions.errors import UNAVAILABLE
from functions.messages.contract import Envelope, Response, encode_time
from functions.messages.request_decoder import request_id_of, trace_of

log = logging.getLogger(__name__)

OUTCOMES = ("ok", "error", "ignored", "nacked", "malformed", "refused")


class Outcomes:
    """The outcomes since the process began. Callable from any thread.

    ok, error: answered. ignored: nothing was asked. nacked: ours to try again. malformed: nobody can be answered.
    refused: turned away at the entry point, unread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._outcomes: Counter[str] = Counter()
        self._codes: Counter[str] = Counter()
        self._since = encode_time(datetime.now(UTC))
        self._expected: Mapping[str, float | None] = {}

    def expect(self, scores: Mapping[str, float | None]) -> None:
        """From now on, beside each score stands the mean that its label had on validation images, where it is known."""
        self._expected = scores

    def answered(self, response: Response, failure: Exception | None = None) -> None:
        """A response is out; `failure` is what made it `unavailable`."""
        timing, error = response.timing_ms, response.error
        best = response.predictions[0] if response.predictions else None
        level = logging.INFO if not error else logging.ERROR if error.code == UNAVAILABLE else logging.WARNING
        self._end(
            "answered",
            level,
            response.status,
            error.code if error else None,
            failure,
            request_id=response.request_id,
            label=best and best.label,
            score=best and best.score,
            expected_score=best and self._expected.get(best.label),
            delivery_attempt=response.delivery_attempt,
            timing_ms={name: getattr(timing, name) for name in ("queue", "fetch", "decode", "predict", "total")},
            trace=response.trace,
        )

    def ignored(self, envelope: Envelope, reason: str) -> None:
        """A notification that asks for nothing."""
        self._end(
            "ignored",
            logging.INFO,
            "ignored",
            request_id=request_id_of(envelope),
            reason=reason,
            trace=trace_of(envelope),
        )

    def nacked(self, envelope: Envelope | None, failure: Exception) -> None:
        """A failure of ours: the broker delivers the request again, or sets it aside. No envelope: it was not read."""
        self._end("nacked", logging.ERROR, "nacked", UNAVAILABLE, failure, delivery=envelope)

    def handed_back(self, envelope: Envelope) -> None:
        """A request that a stopping worker had received and not begun: another one gets it."""
        self._end("handed back", logging.INFO, "nacked", reason="the worker is stopping", delivery=envelope)

    def malformed(self, reason: str) -> None:
        """An event that nobody can be answered for."""
        self._end("malformed event", logging.WARNING, "malformed", reason=reason)

    def refused(self, reason: str) -> None:
        """A request of somebody who may not ask, or at an entry point that is closed."""
        self._end("turned away", logging.WARNING, "refused", reason=reason)

    def counts(self) -> dict[str, Any]:
        """Since when, how many of each outcome, and the codes of the errors."""
        with self._lock:
            outcomes = {name: self._outcomes[name] for name in OUTCOMES}
            return {"since": self._since, "outcomes": outcomes, "codes": dict(self._codes)}

    def _end(
        self,
        message: str,
        level: int,
        outcome: str,
        code: str | None = None,
        failure: Exception | None = None,
        delivery: Envelope | None = None,
        **about: object,
    ) -> None:
        if delivery:
            about |= _delivery(delivery)
        with self._lock:
            self._outcomes[outcome] += 1
            if code:
                self._codes[code] += 1
        log.log(level, message, extra={"outcome": outcome, "code": code, **about}, exc_info=failure)


def _delivery(envelope: Envelope) -> dict[str, object]:
    """What a line says about a message that will come again."""
    return {
        "request_id": request_id_of(envelope),
        "message_id": envelope.id,
        "delivery_attempt": envelope.delivery_attempt,
        "trace": trace_of(envelope),
    }
