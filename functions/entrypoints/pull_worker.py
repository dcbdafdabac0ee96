"""The pull worker: `python -m functions.entrypoints.pull_worker` handles the messages of two pull subscriptions.

A message is acked when the broker has its response, while the next images are scored. On SIGTERM the worker finishes
what it scores, nacks the rest and ends, within the 10 s that Cloud Run gives.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError

from functions import bootstrap
from functions.entrypoints.health_server import serve_health
from functions.gcp.streaming_pull import PulledDelivery, PullStream
from functions.gcp.subscriber import is_reachable, subscriber
from functions.runtime.process_pool import ProcessPool
from functions.runtime.watchdog import Watchdog
from functions.service.handler import Handler
from functions.settings import Settings, SettingsError
from model.errors import ArtifactError

# By name: under -m, __name__ is __main__, and json_logging.py shows the logger "functions".
log = logging.getLogger("functions.entrypoints.pull_worker")

THREADS = 16
"""Threads for requests that block: references, large images, explanations."""

DRAIN_S = 7.0
"""Seconds in which a stopping worker may finish its in-flight requests."""

CLOSE_S = 1.0
"""Seconds in which it may send the last acks and nacks."""

STUCK_DRAIN_S = 2.0
"""Seconds in which a stuck worker may try to end in order."""

STOP_S = 1.0
"""Seconds in which a stream may pass on what it received when the worker stops."""


@contextmanager
def pulling(settings: Settings, handler: Handler) -> Iterator[tuple[list[PullStream], Watchdog]]:
    """Pull requests and dead letters until the block ends, then drain. Yields the streams and their watchdog."""
    client, supervisor = subscriber(), bootstrap.supervisor()
    requests = settings.subscription_path(settings.request_subscription)
    watchdog = Watchdog(partial(is_reachable, client, requests), handler.in_flight.longest_s, settings.pull_silence_s)

    def handle(delivery: PulledDelivery, *, is_dead_letter: bool = False) -> None:
        watchdog.heard()
        handler.handle(delivery, is_dead_letter=is_dead_letter)

    limits = (settings.pull_max_messages, settings.pull_max_bytes)
    dead_letters = settings.subscription_path(settings.dead_subscription)
    streams = [
        PullStream(client, requests, handle, *limits, supervisor),
        PullStream(client, dead_letters, partial(handle, is_dead_letter=True), *limits, supervisor),
    ]
    try:
        yield streams, watchdog
    finally:
        deadline = time.monotonic() + DRAIN_S
        for stream in streams:
            stream.stop(STOP_S)
        handler.pipeline.cancel()
        left = handler.in_flight.drain(max(0.0, deadline - time.monotonic()))
        for stream in streams:
            stream.close(CLOSE_S)
        watchdog.end()
        handler.pipeline.flush()
        log.info("worker stopped", extra={"unfinished": left})


def main() -> int:
    """Run until SIGTERM or SIGINT: 0. Return 2 for wrong settings or a wrong model, 1 when a stream or thread fails."""
    try:
        settings = bootstrap.settings()
        if settings.worker_processes == 1:
            return _run(settings, lambda: None)
        pool = ProcessPool(
            settings.worker_processes, partial(_run, replace(settings, health_address="")), settings.source
        )
        with ExitStack() as stack:
            # Each process ends when it is stuck, and then all do: while this one runs, the worker works.
            _answer_health(stack, settings, lambda: (True, {"status": "ok"}))
            return pool.wait()
    except SettingsError as exc:
        return _cannot_start(exc)


def _run(settings: Settings, loaded: Callable[[], None]) -> int:
    """Run one process; returns its exit code. `loaded` is called once the model is loaded."""
    # Not an Event: a signal handler may interrupt Event.set, which holds a lock. SimpleQueue.put is reentrant.
    stop: queue.SimpleQueue[str] = queue.SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.put(""))
    bootstrap.supervisor().on_failure = stop.put
    try:
        handler = bootstrap.handler(ThreadPoolExecutor(THREADS, "request"))
        loaded()
    except (SettingsError, ArtifactError) as exc:
        return _cannot_start(exc)
    except (GoogleAPIError, GoogleAuthError) as exc:  # the bucket of the model: a later start may succeed
        log.error("cannot start now: %s", exc)
        return 1
    try:
        with ExitStack() as stack:
            streams, watchdog = stack.enter_context(pulling(settings, handler))
            _answer_health(stack, settings, partial(_report, handler, watchdog))
            for stream in streams:
                stream.ended.add_done_callback(lambda _: stop.put(""))
            bootstrap.supervisor().start("watchdog", partial(_end_when_stuck, watchdog, stop))
            model = handler.pipeline.models.default.model
            log.info("worker ready", extra={"model": model.name, "engine": model.engine})
            failure = _wait(stop)
            broken = [f"a pull stream broke: {stream.ended.exception()}" for stream in streams if stream.ended.done()]
            for reason in filter(None, [*broken, failure]):
                log.error(reason)
    except SettingsError as exc:
        return _cannot_start(exc)
    return 1 if broken or failure else 0


def _cannot_start(exc: Exception) -> int:
    log.error("cannot start: %s", exc)
    return 2


def _answer_health(stack: ExitStack, settings: Settings, report: Callable[[], tuple[bool, dict[str, Any]]]) -> None:
    """Answer GET /health until `stack` is closed, if HEALTH_ADDRESS is set."""
    if settings.health_address:
        stack.enter_context(serve_health(settings.health_address, report))


def _report(handler: Handler, watchdog: Watchdog) -> tuple[bool, dict[str, Any]]:
    """Whether the worker works, and the JSON that GET /health returns."""
    warning = watchdog.warning() or handler.request_log.why_not_ready()
    return not warning, {
        "status": warning or "ok",
        **handler.request_log.counts(),
        "serves": handler.pipeline.models.report(),
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


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    os._exit(code)  # an exit would wait for threads that still block, for example on a bucket
