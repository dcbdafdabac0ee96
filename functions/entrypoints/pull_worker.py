"""The pull entry point, fed by StreamingPull. Run it with `python -m functions.entrypoints.pull_worker`.

The pipe is kept full: a message is acked in the callback of its response's future while the next images are scored.
On SIGTERM the worker finishes what it is scoring, hands back the rest and ends, within Cloud Run's 10 s.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError

from functions import bootstrap
from functions.entrypoints.health_server import answering
from functions.gcp.clients import answers
from functions.gcp.streaming_pull import PullStream
from functions.gcp.subscriber import subscriber
from functions.runtime.delivery_executor import HandingBack
from functions.runtime.process_pool import Fleet
from functions.runtime.watchdog import Liveness
from functions.service.handler import Answered, Delivered, on_message
from functions.service.in_flight import Pending
from functions.service.pipeline import Service
from functions.settings import Settings, SettingsError
from model.engines.futures import done
from model.errors import ArtifactError

log = logging.getLogger(
    "functions.entrypoints.pull_worker"
)  # by name: under -m, __name__ is __main__, whose logs nobody shows

DRAIN_S = 7.0
"""How long a stopping worker may finish what it holds."""

CLOSE_S = 1.0
"""How long it may take to tell the broker what is settled in the end."""

STUCK_DRAIN_S = 2.0
"""How long a stuck worker may try to end in order."""

STOP_S = 1.0
"""How long a stream may take to hand on what has come when the worker stops."""


@contextmanager
def pulling(settings: Settings, service: Service) -> Iterator[tuple[list[PullStream], Liveness]]:
    """Pull requests and dead letters until the block ends; then drain.

    Gives the streams, and what shows whether they live.
    """
    pending, client = Pending(), subscriber()
    asked = settings.subscription_path(settings.request_subscription)
    liveness = Liveness(partial(answers, client, asked), pending.longest_s, settings.pull_silence_s)

    def begin(delivery: Delivered, answered: Answered) -> None:
        liveness.heard()
        on_message(delivery, answered, service, pending)

    def request(delivery: Delivered) -> None:
        if service.is_quick(delivery.envelope):
            begin(delivery, service.respond_later)
        else:
            asking.put(delivery)

    asking = HandingBack(
        "request", lambda each: begin(each, lambda envelope: done(lambda: service.respond(envelope))), service.outcomes
    )
    letters = HandingBack(
        "dead", lambda each: begin(each, lambda envelope: done(lambda: service.announce(envelope))), service.outcomes
    )
    streams = [
        PullStream(client, subscription, receive, settings.pull_max_messages, settings.pull_max_bytes)
        for subscription, receive in (
            (asked, request),
            (settings.subscription_path(settings.dead_subscription), letters.put),
        )
    ]
    try:
        yield streams, liveness
    finally:
        deadline = time.monotonic() + DRAIN_S
        for stream in streams:
            stream.stop(STOP_S)
        # No more come. What is not begun is handed back, and what is begun is waited for.
        for threads in (asking, letters):
            threads.stop()
        service.hand_back()
        left = pending.drain(max(0.0, deadline - time.monotonic()))
        for stream in streams:
            stream.close(CLOSE_S)
        liveness.end()
        service.flush()
        log.info("worker stopped", extra={"unfinished": left})


def main() -> int:
    """Run until SIGTERM or SIGINT: 0. When the settings or the model are wrong: 2. When a stream breaks or hangs: 1."""
    try:
        settings = bootstrap.settings()
        if settings.worker_processes == 1:
            return _run(settings, lambda: None)
        fleet = Fleet(settings.worker_processes, partial(_run, replace(settings, health_address="")), settings.artifact)
        with ExitStack() as stack:
            # Each of them ends when it is stuck, and then all do: while there is somebody to ask, all is well.
            _answer_health(stack, settings, lambda: (True, {"status": "ok"}))
            return fleet.wait()
    except SettingsError as exc:
        return _cannot_start(exc)


def _run(settings: Settings, loaded: Callable[[], None]) -> int:
    """One process's life; gives what `main` does. `loaded` is called once the model is."""
    # Not an Event: a signal handler may interrupt the very lock that Event.set takes. SimpleQueue.put is reentrant.
    stop: queue.SimpleQueue[str] = queue.SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.put(""))
    try:
        service = bootstrap.service()
        loaded()
    except (SettingsError, ArtifactError) as exc:
        return _cannot_start(exc)
    except (GoogleAPIError, GoogleAuthError) as exc:  # of the bucket that holds the model: it may pass by
        log.error("cannot start now: %s", exc)
        return 1
    try:
        with ExitStack() as stack:
            streams, liveness = stack.enter_context(pulling(settings, service))
            _answer_health(stack, settings, partial(_report, service, liveness))
            for stream in streams:
                stream.ended.add_done_callback(lambda _: stop.put(""))
            threading.Thread(target=_end_when_stuck, args=(liveness, stop), name="liveness", daemon=True).start()
            log.info("worker ready", extra={"model": service.model.name, "engine": service.model.engine})
            stuck = _wait(stop)
            broken = [f"a pull stream broke: {stream.ended.exception()}" for stream in streams if stream.ended.done()]
            for reason in filter(None, [*broken, stuck]):
                log.error(reason)
    except SettingsError as exc:
        return _cannot_start(exc)
    return 1 if broken or stuck else 0


def _cannot_start(exc: Exception) -> int:
    log.error("cannot start: %s", exc)
    return 2


def _answer_health(stack: ExitStack, settings: Settings, report: Callable[[], tuple[bool, dict[str, Any]]]) -> None:
    """Answer GET /health for as long as the stack stands, where the settings say so."""
    if settings.health_address:
        stack.enter_context(answering(settings.health_address, report))


def _report(service: Service, liveness: Liveness) -> tuple[bool, dict[str, Any]]:
    """What GET /health says."""
    doubt = liveness.doubt()
    return not doubt, {"status": doubt or "ok", **service.outcomes.counts()}


def _end_when_stuck(liveness: Liveness, stop: queue.SimpleQueue[str]) -> None:
    """End the process for whoever restarts it: in order, or soon without order, because what it waits for is stuck."""
    if trouble := liveness.watch():
        stop.put(f"stuck, and ending to be started afresh: {trouble}")
        time.sleep(STUCK_DRAIN_S)
        os._exit(1)


def _wait(stop: queue.SimpleQueue[str]) -> str:
    """Wait for a word. A signal that another thread caught is handled only when the main thread wakes: so it does."""
    while True:
        with suppress(queue.Empty):
            return stop.get(timeout=0.25)


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    os._exit(code)  # threads that still wait for somebody, such as a bucket, would be waited for
