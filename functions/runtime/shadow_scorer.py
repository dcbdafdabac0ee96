"""Scores copies of requests with the shadows of a model, and publishes each pair of responses for comparison.

No answer waits for a shadow: copies wait in a bounded queue, and what does not fit is dropped and counted.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial

from functions.errors import UNAVAILABLE
from functions.messages.comparison import Comparison
from functions.messages.contract import Error, ObjectRef, Request, Response, Timing
from functions.observability.request_log import RequestLog
from functions.service.models import Choice, Shadow
from functions.service.pipeline import CallerRuns, Pipeline
from model.text import reason

log = logging.getLogger(__name__)

MAX_COPIES, MAX_BYTES = 256, 16_000_000
"""Copies that wait for the shadows or for the comparison topic, and the bytes of their images and responses."""

LOG_EVERY_S = 60.0

NICENESS = 10
"""Lowers the priority of the shadows' thread: it uses the CPU time that the answers leave."""

Publish = Callable[[Comparison], Future[str]]


@dataclass(frozen=True, slots=True)
class _Copy:
    """A request that was answered, for one shadow."""

    pipeline: Pipeline
    request: Request
    shadow: Shadow
    answer: Response

    @property
    def size(self) -> int:
        """Bytes of its image and its answer in memory."""
        image = 0 if isinstance(self.request.image, ObjectRef) else len(self.request.image)
        explanation = len(self.answer.explanation.png) if self.answer.explanation else 0
        return image + explanation + len(self.answer.features or b"")

    def compared(self) -> Comparison:
        """The answer and what the shadow says; blocks.

        A shadow that cannot score the image says `unavailable`: without its failures it would seem better than it is.
        Raises what keeps it from trying: the image is gone meanwhile, or there is no memory.
        """
        image, served = self.request.image, self.shadow.served
        if isinstance(image, ObjectRef):
            with self.pipeline.objects.fetch(image, served.predictor.max_bytes) as data:
                return self._compared(data)
        return self._compared(image)

    def _compared(self, image: bytes) -> Comparison:
        pipeline = replace(self.pipeline, executor=CallerRuns(), decodes_in_batches=False, spans=None, copies=None)
        # The answer was in time. The shadow's comes later, and is for comparison only.
        options = replace(self.request.options, explain=False, features=False, expires_at=None)
        request, served = replace(self.request, image=image, options=options), self.shadow.served
        try:
            made = pipeline.submit(request, Choice(served)).result()
        except (TimeoutError, MemoryError):
            raise
        except Exception as exc:
            error = Error(UNAVAILABLE, f"the shadow failed: {reason(exc)}")
            made = pipeline.respond(request, Timing(), served, error=error)
        return Comparison(request.request_id, self.shadow.alias, self.answer, made)


class ShadowScorer:
    """Scores in a thread of its own, which `start` starts with the first copy. Callable from any thread. See Copies."""

    def __init__(
        self,
        publish: Publish,
        request_log: RequestLog,
        start: Callable[[str, Callable[[], None]], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._publish, self._request_log, self._start, self._clock = publish, request_log, start, clock
        self._changed = threading.Condition()
        self._copies: deque[_Copy] = deque()
        self._held = self._bytes = 0
        """The copies from `offer` until they are published, and their bytes: a topic that hangs takes no memory."""
        self._has_thread = False
        self._logged_at = -LOG_EVERY_S

    def offer(self, pipeline: Pipeline, request: Request, choice: Choice, answer: Response) -> None:
        for shadow in choice.shadows:
            if why := self._refusal(_Copy(pipeline, request, shadow, answer)):
                self._count("dropped", shadow.alias, why)

    def _refusal(self, copy: _Copy) -> str:
        """Add a copy, or return why that is not possible."""
        with self._changed:
            if not self._has_thread:
                try:
                    self._start("shadows", self._run)
                except RuntimeError as exc:  # no more threads are to be had: the answer does not need one
                    return reason(exc)
                self._has_thread = True
            if self._held >= MAX_COPIES or self._bytes + copy.size > MAX_BYTES:
                return "the shadows or the comparison topic take longer than the requests"
            self._copies.append(copy)
            self._held += 1
            self._bytes += copy.size
            self._changed.notify()
        return ""

    def _run(self) -> None:
        if sys.platform == "linux":  # where a priority is that of a thread
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._copies)
                copy = self._copies.popleft()
            alias, size = copy.shadow.alias, copy.size
            try:
                comparison = copy.compared()
                published = self._publish(comparison)
            except Exception as exc:
                self._released(size)
                self._count("failed", alias, reason(exc))
            else:
                error = comparison.shadow.error
                why = error.message if error and error.code == UNAVAILABLE else ""
                published.add_done_callback(partial(self._published, alias, size, why))
                del comparison
            del copy  # it would be held until the next one comes

    def _released(self, size: int) -> None:
        with self._changed:
            self._held -= 1
            self._bytes -= size

    def _published(self, alias: str, size: int, why: str, sent: Future[str]) -> None:
        self._released(size)
        if failure := sent.exception():
            self._count("failed", alias, reason(failure))
        else:
            self._count("compared", alias, why)

    def _count(self, what: str, alias: str, why: str = "") -> None:
        """Count a copy. What goes wrong is logged once in LOG_EVERY_S: a log line for each would cost too much."""
        copies = self._request_log.copied(what)
        if why and self._clock() - self._logged_at >= LOG_EVERY_S:
            self._logged_at = self._clock()
            message = "a shadow failed" if what == "compared" else "copies were not compared"
            log.warning(message, extra={"alias": alias, "reason": why, **copies})
