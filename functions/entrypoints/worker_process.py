"""The process of a worker that fetches its requests itself: signals, health, watchdog, and an end in order."""

from __future__ import annotations

import logging
import os
import queue
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError

from functions import bootstrap
from functions.entrypoints.health_server import serve_health
from functions.runtime.process_pool import ProcessPool
from functions.runtime.watchdog import Watchdog
from functions.service.handler import Handler
from functions.settings import Settings, SettingsError
from model.errors import ArtifactError

THREADS = 16
"""Threads for requests that block: references, large images, explanations."""

DRAIN_S = 7.0
"""Seconds in which a stopping worker may finish its in-flight requests."""

STUCK_DRAIN_S = 2.0
"""Seconds in which a stuck worker may try to end in order."""


class CannotStartNow(Exception):
    """What the worker needs is not there; a later start may succeed."""


@dataclass(frozen=True, slots=True)
class Stream:
    """What brings requests. `ended`: ends when no more come, with the exception if it failed."""

    name: str
    ended: Future[None]


@dataclass(frozen=True, slots=True)
class Attached:
    """A handler that gets requests. `report`: fields of the reply to GET /health."""

    streams: Sequence[Stream]
    watchdog: Watchdog
    report: Callable[[], dict[str, Any]] = dict


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker of one kind. `log`: its logger.

    `build(settings, executor)` makes the handler; it raises CannotStartNow. `attach(settings, handler)` gives it
    requests until the block ends, then drains.
    """

    log: logging.Logger
    build: Callable[[Settings, Executor], Handler]
    attach: Callable[[Settings, Handler], AbstractContextManager[Attached]]

    def main(self) -> int:
        """Run until SIGTERM or SIGINT: 0. Return 2 for wrong settings or model, 1 when a stream or thread fails."""
        try:
            settings = bootstrap.settings()
            if settings.worker_processes == 1:
                return self._run(settings, lambda: None)
            pool = ProcessPool(
                settings.worker_processes, partial(self._run, replace(settings, health_address="")), settings.source
            )
            with ExitStack() as stack:
                # Each process ends when it is stuck, and then all do: while this one runs, the worker works.
                _answer_health(stack, settings, lambda: (True, {"status": "ok"}))
                return pool.wait()
        except SettingsError as exc:
            return self._cannot_start(exc)

    def _run(self, settings: Settings, loaded: Callable[[], None]) -> int:
        """Run one process; returns its exit code. `loaded` is called once the model is loaded."""
        # Not an Event: a signal handler may interrupt Event.set, which holds a lock. SimpleQueue.put is reentrant.
        stop: queue.SimpleQueue[str] = queue.SimpleQueue()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.put(""))
        bootstrap.supervisor().on_failure = stop.put
        try:
            handler = self.build(settings, ThreadPoolExecutor(THREADS, "request"))
            loaded()
        except (SettingsError, ArtifactError) as exc:
            return self._cannot_start(exc)
        except (GoogleAPIError, GoogleAuthError, CannotStartNow) as exc:  # a bucket or a broker: it may answer later
            self.log.error("cannot start now: %s", exc)
            return 1
        try:
            with ExitStack() as stack:
                attached = stack.enter_context(self.attach(settings, handler))
                _answer_health(stack, settings, partial(_report, handler, attached))
                for stream in attached.streams:
                    stream.ended.add_done_callback(lambda _: stop.put(""))
                bootstrap.supervisor().start("watchdog", partial(_end_when_stuck, attached.watchdog, stop))
                model = handler.pipeline.models.default.model
                self.log.info("worker ready", extra={"model": model.name, "engine": model.engine})
                failure = _wait(stop)
                ended = [stream for stream in attached.streams if stream.ended.done()]
                broken = [f"a {stream.name} broke: {stream.ended.exception()}" for stream in ended]
                for reason in filter(None, [*broken, failure]):
                    self.log.error(reason)
        except SettingsError as exc:
            return self._cannot_start(exc)
        return 1 if broken or failure else 0

    def _cannot_start(self, exc: Exception) -> int:
        self.log.error("cannot start: %s", exc)
        return 2


def end(code: int) -> None:
    """End the process: an exit would wait for threads that still block, for example on a bucket."""
    logging.shutdown()
    os._exit(code)


def _answer_health(stack: ExitStack, settings: Settings, report: Callable[[], tuple[bool, dict[str, Any]]]) -> None:
    """Answer GET /health until `stack` is closed, if HEALTH_ADDRESS is set."""
    if settings.health_address:
        stack.enter_context(serve_health(settings.health_address, report))


def _report(handler: Handler, attached: Attached) -> tuple[bool, dict[str, Any]]:
    """Whether the worker works, and the JSON that GET /health returns."""
    warning = attached.watchdog.warning() or handler.request_log.why_not_ready()
    return not warning, {
        "status": warning or "ok",
        **handler.request_log.counts(),
        "serves": handler.pipeline.models.report(),
        **attached.report(),
    }


def _end_when_stuck(watchdog: Watchdog, stop: queue.SimpleQueue[str]) -> None:
    """End the process when the watchdog reports a failure: in order, or by force when that takes too long."""
    if failure := watchdog.watch():
        stop.put(f"the worker is stuck and ends: {failure}")
        time.sleep(STUCK_DRAIN_S)
        os._exit(1)


def _wait(stop: queue.SimpleQueue[str]) -> str:
    """Wait for a reason to stop; empty after a signal. Python handles a signal only when the main thread wakes."""
    while True:
        with suppress(queue.Empty):
            return stop.get(timeout=0.25)
