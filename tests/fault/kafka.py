"""A fault run on Kafka: the real broker, workers that die, leave and come back, and a reader of committed messages."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from functions.kafka.connection import properties
from functions.kafka.message_headers import envelope_of
from functions.messages.contract import decode_response
from infra.local.kafka import KafkaBroker
from infra.local.kafka_topics import attempts, create, kafka_topics
from infra.local.storage.server import StorageServer
from infra.local.topology import Topology
from tests.bench.parts import environment
from tests.fault.event_loop import Loop
from tests.fault.journal import RequestJournal, Verdict
from tests.fault.plan import FaultCounts, Plan
from tests.fault.run import PROJECT, STORAGE_DAY, finish
from tests.fault.schedule import REPORT_S, killer, repeating, report
from tests.fault.traffic import DOOMED, Traffic
from tests.fault.workers import Place

_CONFIG = """\
session.timeout.ms=6000
heartbeat.interval.ms=1000
transaction.timeout.ms=10000
"""
"""The least that the broker allows: after so long the partitions of a worker that was killed go to others, and what its
transaction has begun is given up."""

_ATTEMPTS = 8
"""Attempts of a request: only a failure of the storage uses one up, and so many in a row have those that must fail."""

_POLL_S = 0.2


class Broker:
    """The Kafka broker of a run, which is killed and started with its data."""

    def __init__(self, folder: Path) -> None:
        self._broker = KafkaBroker(folder / "kafka")
        # One thread starts every broker and outlives it: the parent-death signal comes when the starting thread ends.
        self._starter = ThreadPoolExecutor(1, "broker")
        self._starter.submit(self._broker.start).result()
        self.bootstrap = self._broker.bootstrap

    def restart(self) -> None:
        """SIGKILL, then a new process on the same port with the same data. It runs until `stop`."""
        self._broker.kill()
        self._broker.stop()
        self._starter.submit(self._broker.start).result()

    def stop(self) -> None:
        self._broker.stop()
        self._starter.shutdown()


class KafkaSender:
    """Sends requests with an idempotent producer: a request that it repeats is there once. Raises ConnectionError."""

    drops = False

    def __init__(self, bootstrap: str) -> None:
        self._producer = Producer({**properties(bootstrap), "enable.idempotence": True, "linger.ms": 2})
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="sender")
        self._thread.start()

    def publish(self, request_id: str, data: bytes) -> None:
        sent = Future[None]()

        def confirmed(error: KafkaError | None, message: Any) -> None:
            if error:
                sent.set_exception(ConnectionError(error.str()))
            else:
                sent.set_result(None)

        self._producer.produce("req_predict", data, request_id, on_delivery=confirmed)
        sent.result()

    def close(self) -> None:
        self._ended.set()
        self._thread.join()

    def _poll(self) -> None:
        while not self._ended.is_set():
            self._producer.poll(_POLL_S)


def run(plan: Plan, folder: Path, say: Callable[[str], None] = lambda words: None) -> tuple[Verdict, FaultCounts]:
    """Do it on Kafka; `folder` takes logs and the broker's data. Raises what kept the run from its end."""
    counts, topology = FaultCounts(plan), Topology.read().with_retry(0.2, 1.0, _ATTEMPTS)
    with ExitStack() as stack:
        loop = stack.enter_context(Loop())
        broker = Broker(folder)
        stack.callback(broker.stop)
        create(properties(broker.bootstrap), kafka_topics(topology))
        names = [bucket.name for bucket in topology.buckets]
        server = stack.enter_context(StorageServer(names=names, fault_plan=STORAGE_DAY if plan.fault_plan else None))
        (config := folder / "kafka.properties").write_text(_CONFIG)
        env = {"STORAGE_EMULATOR_HOST": server.url, "GOOGLE_CLOUD_PROJECT": PROJECT}
        stack.enter_context(environment(env))
        env |= {"ALLOWED_BUCKETS": ",".join(names), "KAFKA_BOOTSTRAP": broker.bootstrap, "KAFKA_CONFIG": str(config)}
        env |= {"KAFKA_TRANSACTIONS": "on" if plan.transactions else "off", **attempts(topology)}
        traffic = Traffic(PROJECT, plan, KafkaSender(broker.bootstrap))
        stack.callback(traffic.close)
        server.fail(503, 1_000_000, DOOMED)
        stack.enter_context(_hearing(broker.bootstrap, traffic.journal))
        places: list[Place] = []
        for number in range(plan.workers):
            place = Place(loop, "", "kafka", None, env, folder / f"worker-{number}.log", counts)
            stack.callback(place.stop)
            places.append(place)
        stack.enter_context(repeating(_killing(plan, traffic.journal, places), lambda: _POLL_S))
        stack.enter_context(repeating(lambda: report(traffic.journal, counts, say), lambda: REPORT_S))
        for do, every_s in _faults(plan, broker, places, counts):
            if every_s:
                stack.enter_context(repeating(do, partial(counts.pause, every_s)))
        return finish(traffic, places, plan, say), counts


def _killing(plan: Plan, journal: RequestJournal, places: list[Place]) -> Callable[[], None]:
    """What kills a worker when `kill_each` further requests are answered."""
    kill, killed_at = killer(places, plan.seed), 0

    def look() -> None:
        nonlocal killed_at
        _, answered = journal.progress()
        if plan.kill_each and answered - killed_at >= plan.kill_each:
            killed_at = answered
            kill()

    return look


def _faults(
    plan: Plan, broker: Broker, places: list[Place], counts: FaultCounts
) -> Iterator[tuple[Callable[[], None], float]]:
    """What is done to the run, and about how often, in seconds."""
    turns = itertools.cycle(places)

    def restart() -> None:
        broker.restart()
        counts.count("broker")

    def rebalance() -> None:
        next(turns).leave()

    yield restart, plan.broker_every_s
    yield rebalance, plan.rebalance_every_s


@contextmanager
def _hearing(bootstrap: str, journal: RequestJournal) -> Iterator[None]:
    """Every committed response is offered to the journal."""
    settings = {**properties(bootstrap), "group.id": "fault-run", "isolation.level": "read_committed"}
    consumer = Consumer({**settings, "enable.auto.commit": False, "auto.offset.reset": "earliest"})
    partitions = consumer.list_topics("res_predict").topics["res_predict"].partitions
    consumer.assign([TopicPartition("res_predict", each, 0) for each in partitions])

    def hear() -> None:
        while (message := consumer.poll(_POLL_S)) or not ended.is_set():
            error = message.error() if message else None
            if message and not error:
                envelope = envelope_of(message)
                journal.offer(decode_response(envelope.payload, envelope.attributes), envelope.payload)
            elif error and error.fatal():
                raise KafkaException(error)

    ended = threading.Event()
    with ThreadPoolExecutor(1, "hearing") as pool:
        hearing = pool.submit(hear)
        try:
            yield
        finally:
            ended.set()
    consumer.close()
    hearing.result()
