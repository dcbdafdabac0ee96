"""One call of `predict`: takes images within a window, matches responses, and gives each image exactly one result.

In contrast to the request tracker of the command line, a call has no known end: its images may come from a generator
that never ends. It therefore keeps nothing about an image that has its result, and returns error responses soon.
"""

from __future__ import annotations

import dataclasses
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from client.api.errors import PredictionsError
from client.api.inputs import GivenImage, ImageBytes
from client.api.result import Result
from client.images import Image
from client.results.record import IMAGE_ERRORS
from client.results.request_tracker import MAX_WAIT_S, Outcome, supersedes
from functions.messages.contract import Response

WINDOW = 256
"""Images of a call that may be taken from its input and not yet be returned as results."""

HOLD_S = 2.0
"""Seconds for which an error response is held while other images of the call are open, because a second delivery of the
request may still be answered with predictions."""

_FINAL_ERRORS = IMAGE_ERRORS | {"invalid_request"}
"""Codes of errors that every delivery of the request has. They are not held."""


@dataclass(slots=True)
class _Request:
    """An image without a result. The times are None until its sending began, and ended; `error` is held."""

    image: Image
    index: int
    began_at: float | None = None
    sent_at: float | None = None
    trace_id: str = ""
    error: Outcome | None = None
    error_at: float = 0.0


class Call:
    """A tracker for one call. All methods are thread-safe.

    After `timeout_s` seconds without any response, the images that were sent before fail. `ordered` gives the results
    in the order of the images. `wake` is called, from any thread, after each change that may lead to a result.
    """

    def __init__(
        self,
        timeout_s: float,
        *,
        ordered: bool = False,
        wake: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._timeout_s, self._ordered, self._wake, self._clock = timeout_s, ordered, wake, clock
        self._changed = threading.Condition()
        self._open: dict[str, _Request] = {}
        self._ready: dict[int, Result] = {}
        self._taken = self._returned = 0
        self._heard_at = clock()
        self._all_sent = self._stopped = False
        self._failure: BaseException | None = None

    @property
    def stopped(self) -> bool:
        """Whether sending should stop."""
        return self._stopped

    @property
    def idle(self) -> bool:
        """Whether no thread works for the call any more."""
        return self._all_sent

    @property
    def ended(self) -> bool:
        """Whether `poll` returns no further result."""
        with self._changed:
            return self._next_index() is None and not self._open and (self._all_sent or self._stopped)

    def take(self, images: Iterator[GivenImage]) -> Iterator[GivenImage]:
        """Yield the images to send, each with a request id. Waits while the window is full."""
        while self._may_take():
            try:
                given = next(images)
            except StopIteration:
                return
            except BaseException as exc:  # of the program's own generator; its reader gets it
                self._failure = exc
                return
            image = dataclasses.replace(given, request_id=uuid.uuid4().hex)
            kept = dataclasses.replace(image, data=b"") if isinstance(image, ImageBytes) else image
            with self._changed:
                if self._stopped:
                    return
                self._open[image.request_id] = _Request(kept, self._taken)
                self._taken += 1
            yield image

    def expect(self, request_id: str, image: Image, sent_at: float | None = None, trace_id: str = "") -> None:
        """Record that a request is being sent."""
        with self._changed:
            if request := self._open.get(request_id):
                request.began_at = self._clock() if sent_at is None else sent_at
                request.trace_id = trace_id

    def sent(self, image: Image) -> None:
        """Record that an image was sent. The wait for its response begins."""
        with self._change():
            if request := self._open.get(image.request_id):
                request.sent_at = self._clock()

    def receive(self, response: Response) -> bool:
        """Take a response, and return whether it belongs to this call. A response to a settled request is dropped."""
        with self._change():
            request = self._open.get(response.request_id)
            if request is None:
                return False
            self._heard_at = now = self._clock()
            ms = 1000 * (now - (request.began_at or now))
            outcome = Outcome(request.image, response.request_id, response, ms=ms, trace_id=request.trace_id)
            if response.error is None or response.error.code in _FINAL_ERRORS:
                self._settle(response.request_id, outcome)
            elif supersedes(response, request.error.response if request.error else None):
                request.error, request.error_at = outcome, request.error_at or now
            return True

    def settle(self, outcome: Outcome) -> None:
        """Record the outcome of an image that needs no further response."""
        with self._change():
            self._settle(outcome.request_id, outcome)

    def fail(self, image: Image, problem: str) -> None:
        """Record that an image could not be sent. A response that has arrived for it takes precedence."""
        with self._change():
            request = self._open.get(image.request_id)
            if request and not request.error:
                began_id = "" if request.began_at is None else image.request_id
                failed = Outcome(request.image, began_id, problem=problem, trace_id=request.trace_id)
                self._settle(image.request_id, failed)

    def finish_sending(self) -> None:
        """Record that no thread works for the call any more."""
        with self._change():
            self._all_sent = True

    def stop_sending(self, reason: str) -> None:
        """End the call after the responses to what was sent. `raise_failure` then raises PredictionsError."""
        with self._change():
            self._failure = self._failure or PredictionsError(reason)
            self._stopped = True
            self._open = {request_id: each for request_id, each in self._open.items() if each.sent_at is not None}

    def abort(self, reason: str) -> None:
        """End the call at once unless it has all results. `raise_failure` then raises PredictionsError."""
        with self._change():
            if self._open or not self._all_sent:
                self._failure = self._failure or PredictionsError(reason)
                self._stopped = True
                self._open.clear()

    def stop(self) -> None:
        """End the call. Its results are dropped."""
        with self._change():
            self._stopped = True
            self._open.clear()
            self._ready.clear()

    def poll(self) -> Result | None:
        """Return the next result, None when there is none at this moment."""
        with self._changed:
            if self._next_index() is None:
                self._settle_overdue()
            index = self._next_index()
            if index is None:
                return None
            self._returned += 1
            self._changed.notify_all()
            return self._ready.pop(index)

    def wait(self) -> None:
        """Wait until a result may be ready, and at most MAX_WAIT_S."""
        with self._changed:
            if self._next_index() is None and not self.ended:
                seconds = self.wait_s()
                self._changed.wait(MAX_WAIT_S if seconds is None else min(seconds, MAX_WAIT_S))

    def wait_s(self) -> float | None:
        """Return the seconds until the next deadline, None when no image waits for a response."""
        with self._changed:
            deadlines = [at for at in map(self._deadline, self._open.values()) if at is not None]
            return max(0.0, min(deadlines) - self._clock()) if deadlines else None

    def raise_failure(self) -> None:
        """Raise the exception that ended the call early, if there is one."""
        if self._failure:
            raise self._failure

    @contextmanager
    def _change(self) -> Iterator[None]:
        with self._changed:
            yield
            self._changed.notify_all()
        if self._wake:
            self._wake()

    def _may_take(self) -> bool:
        with self._changed:
            while not self._stopped and self._taken - self._returned >= WINDOW:
                self._changed.wait()
            return not self._stopped

    def _next_index(self) -> int | None:
        """Return the index of the ready result that comes next."""
        index = self._returned if self._ordered else next(iter(self._ready), None)
        return index if index in self._ready else None

    def _settle(self, request_id: str, outcome: Outcome) -> None:
        if request := self._open.pop(request_id, None):
            self._ready[request.index] = Result.of(outcome, request.index)

    def _settle_overdue(self) -> None:
        """Settle the held errors that nothing can replace any more, and the requests without a response in time."""
        now = self._clock()
        all_held = all(request.error for request in self._open.values())
        for request_id, request in list(self._open.items()):
            deadline = self._deadline(request)
            is_due = deadline is not None and now >= deadline
            if request.error and (is_due or all_held):
                self._settle(request_id, request.error)
            elif is_due:
                problem = f"no answer within {self._timeout_s:g} s"
                missing = Outcome(request.image, request_id, problem=problem, missing=True, trace_id=request.trace_id)
                self._settle(request_id, missing)

    def _deadline(self, request: _Request) -> float | None:
        """Return the time when a request is settled as it is, None while it is being sent."""
        if request.error:
            return request.error_at + HOLD_S
        return None if request.sent_at is None else max(request.sent_at, self._heard_at) + self._timeout_s
