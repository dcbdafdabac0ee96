"""The Kafka worker: `python -m functions.entrypoints.kafka_worker` handles the messages of a topic of Kafka.

An offset is committed when the brokers have the response, while the next images are scored. On SIGTERM the worker
finishes what it scores, leaves the rest to other workers and ends, within the 10 s that Cloud Run gives.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

from functions import bootstrap
from functions.entrypoints.worker_process import DRAIN_S, Attached, CannotStartNow, Stream, Worker, end
from functions.kafka.cluster_check import BrokerUnreachable, check_cluster
from functions.kafka.connection import KafkaConfigError, properties
from functions.kafka.consumer import KafkaStream
from functions.kafka.deliveries import Deliveries, HeldMessage, Names
from functions.kafka.publisher import KafkaComparisons, KafkaResponses, TopicProducer
from functions.kafka.retries import RetryPolicy
from functions.kafka.share import ShareStream
from functions.runtime.watchdog import Watchdog
from functions.service.handler import Handler
from functions.settings import Settings, SettingsError

# By name: under -m, __name__ is __main__, and json_logging.py shows the logger "functions".
log = logging.getLogger("functions.entrypoints.kafka_worker")

CLOSE_S = 2.0
"""Seconds in which a stopping worker may commit the last offsets and leave the group."""


@contextmanager
def consuming(settings: Settings, handler: Handler) -> Iterator[Attached]:
    """Consume requests until the block ends, then drain. Raises SettingsError."""
    in_transactions = settings.kafka_transactions == "on"
    try:
        streams = _streams(settings, in_transactions)
    except KafkaConfigError as exc:
        raise SettingsError(str(exc)) from None
    watchdog = Watchdog(streams[0].is_reachable, handler.in_flight.longest_s, settings.pull_silence_s)
    for stream in streams:
        policy = RetryPolicy(stream.max_attempts, settings.kafka_min_backoff_s, settings.kafka_max_backoff_s)
        later, is_stopping = stream.delays.add, stream.is_stopping
        deliveries = Deliveries(handler, names_of(settings), policy, later, is_stopping, in_transactions)
        stream.start(partial(_receive, deliveries, watchdog), deliveries.refused)
    try:
        ended = [Stream("consumer", stream.ended) for stream in streams]
        yield Attached(ended, watchdog, lambda: _report(streams))
    finally:
        deadline = time.monotonic() + DRAIN_S
        for stream in streams:
            stream.stop()
        handler.pipeline.cancel()
        left = handler.in_flight.drain(max(0.0, deadline - time.monotonic()))
        closed_by = time.monotonic() + CLOSE_S
        for stream in streams:
            stream.stop(closing=True)
        for stream in streams:
            stream.join(max(0.0, closed_by - time.monotonic()))
        _producer().close(max(0.0, closed_by - time.monotonic()))
        watchdog.end()
        handler.pipeline.flush()
        log.info("worker stopped", extra={"unfinished": left})


def _receive(deliveries: Deliveries, watchdog: Watchdog, held: HeldMessage) -> None:
    watchdog.heard()
    deliveries.receive(held)


def _streams(settings: Settings, in_transactions: bool) -> Sequence[KafkaStream | ShareStream]:
    """The consumers of the request topic and of the delay topic. Raises KafkaConfigError."""
    names, limits = names_of(settings), (settings.pull_max_messages, settings.pull_max_bytes)
    most, supervisor, publish = settings.kafka_max_attempts, bootstrap.supervisor(), _producer().publish
    if not names.retry:
        return [ShareStream(_properties(), names.requests, names.group, limits, most, publish, supervisor)]
    waiting = _properties()
    if member := waiting.get("group.instance.id"):
        waiting = {**waiting, "group.instance.id": f"{member}-retry"}
    return [
        KafkaStream(made, topic, names.group, limits, most, None if in_transactions else publish, supervisor)
        for topic, made in ((names.requests, _properties()), (names.retry, waiting))
    ]


def _report(streams: Sequence[KafkaStream | ShareStream]) -> dict[str, Any]:
    """Fields for GET /health: `lag`, the messages that are not finished, where the streams know."""
    known = [stream.lag for stream in streams if stream.lag is not None]
    return {"lag": sum(known)} if known else {}


def names_of(settings: Settings) -> Names:
    """The topics and the group. The delay topic and the group have the name of the request topic in theirs."""
    requests = settings.request_topic
    is_share = settings.kafka_group == "share"
    group, retry = (f"{requests}-share", "") if is_share else (f"{requests}-worker", f"{requests}-retry")
    return Names(requests, settings.response_topic, settings.dead_topic, group, retry)


@cache
def _properties() -> dict[str, Any]:
    settings = bootstrap.settings()
    made = properties(settings.kafka_bootstrap, settings.kafka_config, settings.kafka_oauth)
    if "group.instance.id" in made and settings.worker_processes > 1:
        raise KafkaConfigError(
            f"KAFKA_CONFIG sets group.instance.id and WORKER_PROCESSES is {settings.worker_processes}: each process "
            "would need an id of its own; leave one of them out"
        )
    return made


@cache
def _producer() -> TopicProducer:
    return TopicProducer(_properties(), bootstrap.supervisor())


def _build(settings: Settings, executor: Executor) -> Handler:
    """Build the handler once a broker lets the topics be used. Raises SettingsError and CannotStartNow."""
    names = names_of(settings)
    topics = {
        names.requests: ("READ",),
        names.responses: ("WRITE",),
        names.dead: ("WRITE",),
        names.retry: ("READ", "WRITE"),
        settings.comparison_topic: ("WRITE",),
    }
    try:
        check_cluster(_properties(), {name: operations for name, operations in topics.items() if name})
    except KafkaConfigError as exc:
        raise SettingsError(str(exc)) from None
    except BrokerUnreachable as exc:
        raise CannotStartNow(str(exc)) from None
    publish = _producer().publish
    comparisons = KafkaComparisons(settings.comparison_topic, publish)
    publishers = bootstrap.Publishers(KafkaResponses(names.responses, publish), comparisons.publish)
    handler = bootstrap.handler(executor, publishers)
    _producer().backlog = handler.pipeline.models.backlog_s
    return handler


main = Worker(log, _build, consuming).main

if __name__ == "__main__":
    end(main())
