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

from functions.messages.comparison import Comparison
from functions.messages.contract import ObjectRef, Request, Response
from functions.observability.request_log import RequestLog
from functions.service.models import Choice, Shadow
from functions.service.pipeline import CallerRuns, Pipeline
from model.text import reason

log = logging.getLogger(__name__)

MAX_COPIES, MAX_BYTES = 256, 16_000_000
"""Copies that wait for the shadows, and the bytes of their images."""

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
        """Bytes of its image in memory."""
        return 0 if isinstance(self.request.image, ObjectRef) else len(self.request.image)

    def compared(self) -> Comparison:
        """The answer and what the shadow says; blocks."""
        pipeline = replace(self.pipeline, executor=CallerRuns(), decodes_in_batches=False, spans=None, copies=None)
        options = replace(self.request.options, explain=False, features=False)
        made = pipeline.submit(replace(self.request, options=options), Choice(self.shadow.served)).result()
        return Comparison(self.request.request_id, self.shadow.alias, self.answer, made)


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
        self._bytes = 0
        self._has_thread = False
        self._logged_at = -LOG_EVERY_S

    def offer(self, pipeline: Pipeline, request: Request, choice: Choice, answer: Response) -> None:
        for shadow in choice.shadows:
            copy = _Copy(pipeline, request, shadow, answer)
            with self._changed:
                if not self._has_thread:
                    self._has_thread = True
                    self._start("shadows", self._run)
                fits = len(self._copies) < MAX_COPIES and self._bytes + copy.size <= MAX_BYTES
                if fits:
                    self._copies.append(copy)
                    self._bytes += copy.size
                    self._changed.notify()
            if not fits:
                self._count("dropped", shadow.alias, "the shadows take longer than the requests")

    def _run(self) -> None:
        if sys.platform == "linux":  # where a priority is that of a thread
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._copies)
                copy = self._copies.popleft()
                self._bytes -= copy.size
            try:
                self._publish(copy.compared()).add_done_callback(partial(self._published, copy.shadow.alias))
            except Exception as exc:
                self._count("failed", copy.shadow.alias, reason(exc))

    def _published(self, alias: str, sent: Future[str]) -> None:
        if failure := sent.exception():
            self._count("failed", alias, reason(failure))
        else:
            self._count("compared", alias)

    def _count(self, what: str, alias: str, why: str = "") -> None:
        """Count a copy. What is not compared is logged once in LOG_EVERY_S: a log line for each would cost too much."""
        copies = self._request_log.copied(what)
        if why and self._clock() - self._logged_at >= LOG_EVERY_S:
            self._logged_at = self._clock()
            log.warning("copies were not compared", extra={"alias": alias, "reason": why, **copies})
