"""The pull worker: `python -m functions.entrypoints.pull_worker` handles the messages of two pull subscriptions.

A message is acked when the broker has its response, while the next images are scored. On SIGTERM the worker finishes
what it scores, nacks the rest and ends, within the 10 s that Cloud Run gives.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import partial

from functions import bootstrap
from functions.entrypoints.worker_process import DRAIN_S, Attached, Stream, Worker, end
from functions.gcp.streaming_pull import PulledDelivery, PullStream
from functions.gcp.subscriber import is_reachable, subscriber
from functions.runtime.watchdog import Watchdog
from functions.service.handler import Handler
from functions.settings import Settings

# By name: under -m, __name__ is __main__, and json_logging.py shows the logger "functions".
log = logging.getLogger("functions.entrypoints.pull_worker")

CLOSE_S = 1.0
"""Seconds in which a stopping worker may send the last acks and nacks."""

STOP_S = 1.0
"""Seconds in which a stream may pass on what it received when the worker stops."""


@contextmanager
def pulling(settings: Settings, handler: Handler) -> Iterator[Attached]:
    """Pull requests and dead letters until the block ends, then drain."""
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
        yield Attached([Stream("pull stream", stream.ended) for stream in streams], watchdog)
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


def _build(_: Settings, executor: Executor) -> Handler:
    return bootstrap.handler(executor)


main = Worker(log, _build, pulling).main

if __name__ == "__main__":
    end(main())
