"""Which pictures were asked about and what came back: matching, duplicates, what is still missing.

Filled from the threads that send and receive; read by the one that shows.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from client.image_files import Picture
from functions.errors import UNAVAILABLE
from functions.messages.contract import Response

_EARLY_LIMIT = 1000
"""Responses kept that nobody has asked for yet: an upload's id is known only after the upload."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one picture ended: with a response, or with a `problem` on this side of the wire; with neither, it was sent.

    `ms` is the time from sending to the response's arrival. `missing`: it was sent and nothing came back. `trace_id`:
    under what the pipeline's logs and traces know it.
    """

    picture: Picture
    request_id: str = ""
    response: Response | None = None
    problem: str = ""
    ms: float = 0.0
    missing: bool = False
    trace_id: str = ""

    @property
    def ok(self) -> bool:
        """Whether everything that was wanted of it happened."""
        return not self.problem and (self.response is None or self.response.error is None)


@dataclass(frozen=True, slots=True)
class _Open:
    picture: Picture
    sent: float
    trace_id: str


class RequestTracker:
    """Every picture ends here exactly once. All methods may be called from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._open: dict[str, _Open] = {}
        self._ids: dict[Picture, str] = {}
        self._errors: dict[str, Outcome] = {}
        self._early: OrderedDict[str, tuple[Response, float]] = OrderedDict()
        self._settled: deque[Outcome] = deque()
        self._all_sent: float | None = None
        self._broken = ""
        self._stopped = False

    @property
    def stopped(self) -> bool:
        """Whether nothing more should be sent."""
        return self._stopped

    def expect(self, request_id: str, picture: Picture, sent: float | None = None, trace_id: str = "") -> None:
        """A response to `request_id` is wanted; `sent` is when its clock started (now, unless told)."""
        with self._changed:
            self._open[request_id] = _Open(picture, self._clock() if sent is None else sent, trace_id)
            self._ids[picture] = request_id
            early = self._early.pop(request_id, None)
            if early:
                self._take(*early)

    def offer(self, response: Response) -> None:
        """A response came. One that is not wanted, or not any more, is dropped."""
        with self._changed:
            if response.request_id in self._open:
                self._take(response, self._clock())
            elif _says_more(response, self._early.get(response.request_id, (None,))[0]):
                self._early[response.request_id] = response, self._clock()
                if len(self._early) > _EARLY_LIMIT:
                    self._early.popitem(last=False)

    def settle(self, outcome: Outcome) -> None:
        """A picture that needs no response: this is how it ended."""
        with self._changed:
            self._settle(outcome)

    def fail(self, picture: Picture, problem: str) -> None:
        """This picture could not be sent, unless its response says otherwise."""
        with self._changed:
            request_id = self._ids.get(picture, "")
            answered = request_id in self._errors or request_id not in self._open
            if not (request_id and answered):
                asked = self._open.pop(request_id, None)
                trace_id = asked.trace_id if asked else ""
                self._settle(Outcome(picture, request_id, problem=problem, trace_id=trace_id))

    def finish_sending(self) -> None:
        """Everything is sent: from now on the timeout runs."""
        with self._changed:
            self._all_sent = self._clock()
            self._changed.notify_all()

    def give_up(self, why: str) -> None:
        """No response can arrive any more."""
        with self._changed:
            self._broken = self._broken or why
            self._changed.notify_all()

    def stop(self) -> list[Outcome]:
        """Nothing more is wanted: the outcomes not yet read, and what is unanswered."""
        with self._changed:
            self._stopped = True
            rest = [*self._settled, *self._errors.values(), *self._unanswered("interrupted")]
            self._settled.clear()
            return rest

    def outcomes(self, timeout_s: float) -> Iterator[Outcome]:
        """Each outcome as it comes; ends when all are in, or `timeout_s` after the last was sent.

        Errors come last: until then predictions may still take their place.
        """
        while True:
            with self._changed:
                while not (self._settled or self._over(timeout_s)):
                    self._changed.wait(self._patience(timeout_s))
                batch = list(self._settled)
                self._settled.clear()
                if not batch:
                    self._stopped = True
                    rest = list(self._errors.values())
                    rest += self._unanswered(self._broken or f"no answer within {timeout_s:g} s")
                    break
            yield from batch
        yield from rest

    def _take(self, response: Response, at: float) -> None:
        """The first predictions are kept; an error is held for as long as predictions may still come."""
        request_id = response.request_id
        asked = self._open[request_id]
        ms = max(0.0, 1000 * (at - asked.sent))
        outcome = Outcome(asked.picture, request_id, response, ms=ms, trace_id=asked.trace_id)
        held = self._errors.get(request_id)
        if not response.error:
            del self._open[request_id]
            self._errors.pop(request_id, None)
            self._settle(outcome)
        elif _says_more(response, held.response if held else None):
            self._errors[request_id] = outcome
            self._changed.notify_all()

    def _settle(self, outcome: Outcome) -> None:
        self._settled.append(outcome)
        self._changed.notify_all()

    def _over(self, timeout_s: float) -> bool:
        if self._broken:
            return True
        if self._all_sent is None:
            return False
        return len(self._open) == len(self._errors) or self._clock() >= self._all_sent + timeout_s

    def _patience(self, timeout_s: float) -> float:
        """Seconds to sleep at most: until the deadline, and never so long that Ctrl-C goes unheard on some systems."""
        left = timeout_s if self._all_sent is None else self._all_sent + timeout_s - self._clock()
        return min(max(left, 0.0), 0.5)

    def _unanswered(self, problem: str) -> list[Outcome]:
        return [
            Outcome(asked.picture, request_id, problem=problem, missing=True, trace_id=asked.trace_id)
            for request_id, asked in self._open.items()
            if request_id not in self._errors
        ]


def _says_more(response: Response, kept: Response | None) -> bool:
    """Whether it replaces what is kept: predictions any error, another error `unavailable`, and nothing its like."""
    return kept is None or _weight(response) > _weight(kept)


def _weight(response: Response) -> int:
    if not response.error:
        return 2
    return int(response.error.code != UNAVAILABLE)
