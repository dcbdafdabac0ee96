"""Tracks the client's open requests: matches responses, drops duplicates, and knows what is still missing.

The threads that send and receive write to the tracker; the main thread reads the outcomes.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from client.images import Image
from functions.errors import UNAVAILABLE
from functions.messages.contract import Response

_MAX_EARLY = 1000
"""Responses kept for requests that are not registered yet. The request id of an upload is known only after it."""

MAX_WAIT_S = 0.5
"""Seconds of the longest wait, because on some systems a waiting thread does not notice Ctrl-C."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one image: a response, a `problem` on the client's side, or neither when it was only sent.

    `ms` is the time from sending the request to receiving the response, in milliseconds. `missing` means that the
    request was sent and no response arrived. `trace_id` identifies the request in the pipeline's logs and traces.
    """

    image: Image
    request_id: str = ""
    response: Response | None = None
    problem: str = ""
    ms: float = 0.0
    missing: bool = False
    trace_id: str = ""

    @property
    def ok(self) -> bool:
        """Whether the image has its labels, or was sent where no response was requested."""
        return not self.problem and (self.response is None or self.response.error is None)

    @property
    def unsent(self) -> bool:
        """Whether the image could not be sent."""
        return bool(self.problem) and not self.missing


class Requests(Protocol):
    """What transports report requests to. All methods are thread-safe."""

    def expect(self, request_id: str, image: Image, sent_at: float | None = None, trace_id: str = "") -> None:
        """Register a request. `sent_at` is the time of the tracker's clock when it was sent, by default now."""
        ...

    def settle(self, outcome: Outcome) -> None:
        """Record the outcome of an image that needs no further response."""
        ...


class Tracker(Requests, Protocol):
    """What transports and the send pool report to. All methods are thread-safe."""

    @property
    def stopped(self) -> bool:
        """Whether sending should stop."""
        ...

    def fail(self, image: Image, problem: str) -> None:
        """Record that an image could not be sent."""
        ...

    def finish_sending(self) -> None:
        """Record that no thread is sending any more."""
        ...

    def stop_sending(self, reason: str) -> None:
        """Record why no more images can be sent."""
        ...

    def abort(self, reason: str) -> None:
        """Record that no response can arrive any more."""
        ...


@dataclass(slots=True)
class _OpenRequest:
    """A request without predictions. `is_sent`: its image is not being sent any more."""

    image: Image
    sent_at: float
    trace_id: str
    is_sent: bool = False


class RequestTracker:
    """Gives every image exactly one outcome. All methods are thread-safe.

    It keeps an image, about 1 kB, until `sent` or `fail` ended its sending and predictions answered it, and nothing of
    it after that. An error response stays until the end.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._open: dict[str, _OpenRequest] = {}
        self._ids: dict[Image, str] = {}  # of what is being sent, or is open
        self._errors: dict[str, Outcome] = {}
        self._early: OrderedDict[str, tuple[Response, float]] = OrderedDict()
        self._settled: deque[Outcome] = deque()
        self._all_sent_at: float | None = None
        self._last_at = 0.0
        self.failure = self.unsent_reason = ""
        """Why no response can arrive any more, and why no more images can be sent."""
        self._stopped = False

    @property
    def stopped(self) -> bool:
        """Whether sending should stop."""
        return self._stopped

    @property
    def all_sent(self) -> bool:
        """Whether no thread is sending any more."""
        return self._all_sent_at is not None

    def expect(self, request_id: str, image: Image, sent_at: float | None = None, trace_id: str = "") -> None:
        """Register a request. `sent_at` is the time of the tracker's clock when it was sent, by default now.

        An image that is sent again is expected under its new id alone.
        """
        with self._changed:
            self._open[request_id] = _OpenRequest(image, self._clock() if sent_at is None else sent_at, trace_id)
            if (earlier := self._ids.get(image, request_id)) != request_id:
                self._open.pop(earlier, None)
                self._errors.pop(earlier, None)
            self._ids[image] = request_id
            early = self._early.pop(request_id, None)
            if early:
                self._match(*early)

    def sent(self, image: Image) -> None:
        """Record that an image was sent, and that it is not sent again."""
        with self._changed:
            if request := self._open.get(self._ids.get(image, "")):
                request.is_sent = True
            else:
                self._ids.pop(image, None)

    def receive(self, response: Response) -> None:
        """Take a response. It is dropped when its request is already settled."""
        with self._changed:
            if response.request_id in self._open:
                self._match(response, self._clock())
            elif supersedes(response, self._early.get(response.request_id, (None,))[0]):
                self._early[response.request_id] = response, self._clock()
                if len(self._early) > _MAX_EARLY:
                    self._early.popitem(last=False)

    def settle(self, outcome: Outcome) -> None:
        """Record the outcome of an image that needs no further response."""
        with self._changed:
            self._settle(outcome)

    def fail(self, image: Image, problem: str) -> None:
        """Record that an image could not be sent. A response that has arrived for it takes precedence."""
        with self._changed:
            request_id = self._ids.get(image, "")
            request = self._open.get(request_id)
            if request and request_id in self._errors:
                request.is_sent = True
                return
            self._ids.pop(image, None)
            if request or not request_id:
                self._open.pop(request_id, None)
                self._settle(Outcome(image, request_id, problem=problem, trace_id=request.trace_id if request else ""))

    def finish_sending(self) -> None:
        """Record that everything is sent. The timeout counts from now."""
        with self._changed:
            self._all_sent_at = self._last_at = self._clock()
            self._changed.notify_all()

    def stop_sending(self, reason: str) -> None:
        """Record why no more images can be sent. The responses to those that were sent are still awaited."""
        with self._changed:
            self._stopped = True
            self.unsent_reason = self.unsent_reason or reason

    def abort(self, reason: str) -> None:
        """Record that no response can arrive any more."""
        with self._changed:
            self.failure = self.failure or reason
            self._changed.notify_all()

    def stop(self, wait_s: float = 0.0) -> list[Outcome]:
        """Stop sending, and return the outcomes that were not read and those of unanswered requests.

        Images that are being sent are waited for, `wait_s` seconds at most.
        """
        with self._changed:
            self._stopped = True
            self._changed.wait_for(lambda: self.all_sent, wait_s)
            rest = [*self._settled, *self._errors.values(), *self._unanswered("interrupted")]
            self._settled.clear()
            return rest

    def outcomes(self, timeout_s: float) -> Iterator[Outcome]:
        """Yield each outcome as it arrives, until all are known or nothing was sent or answered for `timeout_s` s.

        Error responses come last, because until then predictions may still replace them.
        """
        while True:
            with self._changed:
                while not (self._settled or self._finished(timeout_s)):
                    self._changed.wait(self._wait_s(timeout_s))
                batch = list(self._settled)
                self._settled.clear()
                if not batch:
                    self._stopped = True
                    rest = list(self._errors.values())
                    rest += self._unanswered(self.failure or f"no answer within {timeout_s:g} s")
                    break
            yield from batch
        yield from rest

    def _match(self, response: Response, at: float) -> None:
        """Settle an open request by predictions. Keep an error response, since predictions may still follow it."""
        request_id = response.request_id
        request = self._open[request_id]
        ms = max(0.0, 1000 * (at - request.sent_at))
        outcome = Outcome(request.image, request_id, response, ms=ms, trace_id=request.trace_id)
        kept = self._errors.get(request_id)
        if not response.error:
            del self._open[request_id]
            self._errors.pop(request_id, None)
            if request.is_sent:
                self._ids.pop(request.image, None)
            self._last_at = at
            self._settle(outcome)
        elif supersedes(response, kept.response if kept else None):
            self._errors[request_id] = outcome
            self._last_at = at
            self._changed.notify_all()

    def _settle(self, outcome: Outcome) -> None:
        self._settled.append(outcome)
        self._changed.notify_all()

    def _finished(self, timeout_s: float) -> bool:
        if self.failure:
            return True
        if self._all_sent_at is None:
            return False
        return len(self._open) == len(self._errors) or self._clock() >= self._last_at + timeout_s

    def _wait_s(self, timeout_s: float) -> float:
        """Return the seconds to wait for a change: until the deadline, and at most MAX_WAIT_S."""
        left = MAX_WAIT_S if self._all_sent_at is None else self._last_at + timeout_s - self._clock()
        return min(max(left, 0.0), MAX_WAIT_S)

    def _unanswered(self, problem: str) -> list[Outcome]:
        return [
            Outcome(request.image, request_id, problem=problem, missing=True, trace_id=request.trace_id)
            for request_id, request in self._open.items()
            if request_id not in self._errors
        ]


def supersedes(response: Response, kept: Response | None) -> bool:
    """Whether a response replaces the kept one: predictions any error, and another error `unavailable`."""
    return kept is None or _rank(response) > _rank(kept)


def _rank(response: Response) -> int:
    if not response.error:
        return 2
    return int(response.error.code != UNAVAILABLE)
