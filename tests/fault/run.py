"""One fault run: starts all processes, kills them repeatedly, and returns the verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from google.cloud import pubsub_v1

from functions.gcp.subscriber import AnySizeTransport
from functions.messages.contract import decode_response
from infra.local.admin import create
from infra.local.fault_plan import FaultPlan
from infra.local.storage.notify import Notifier, watches
from infra.local.storage.server import StorageServer
from infra.local.topology import Topology
from tests.bench.parts import environment
from tests.fault.broker import FAULT_PLAN, Embedded, Google
from tests.fault.event_loop import Loop
from tests.fault.journal import RequestJournal, Verdict
from tests.fault.load_balancer import LoadBalancer
from tests.fault.plan import FaultCounts, Plan
from tests.fault.schedule import REPORT_S, killer, repeating, report
from tests.fault.swaps import Swaps
from tests.fault.traffic import DOOMED, PubsubSender, Traffic
from tests.fault.workers import Place

PROJECT = "local"
STORAGE_DAY = FaultPlan(slow_reads=0.02, slow_s=1.5, errors=0.005, burst=3, resets=0.005)
"""Storage stalls, answers 503 in bursts and cuts connections."""

_TROUBLES = 20
"""Limits how many troubles are reported: the first ones are enough."""


def run(plan: Plan, folder: Path, say: Callable[[str], None] = lambda words: None) -> tuple[Verdict, FaultCounts]:
    """Do it on Pub/Sub; `folder` takes logs and the broker's data. Raises what kept the run from its end."""
    counts, topology = FaultCounts(plan), Topology.read().with_retry(0.2, 2.0)
    with ExitStack() as stack:
        loop = stack.enter_context(Loop())
        broker = (
            Google(folder) if plan.backend == "google" else Embedded(folder, FAULT_PLAN if plan.fault_plan else None)
        )
        stack.callback(broker.stop)
        front, push = LoadBalancer(), plan.delivery == "push"
        loop.run(front.start())
        stack.callback(lambda: loop.run(front.stop()))
        create(topology, broker.host, PROJECT, push_to=front.url if push else None)
        server = stack.enter_context(_storage(topology, broker.host, STORAGE_DAY if plan.fault_plan else None))
        env = {"STORAGE_EMULATOR_HOST": server.url, "GOOGLE_CLOUD_PROJECT": PROJECT, "PULL_MAX_MESSAGES": "16"}
        env |= {"ALLOWED_BUCKETS": "uploads,payloads", "WORKER_PROCESSES": str(plan.processes)}
        if plan.response_store:
            env["RESPONSE_STORE"] = "gs://payloads/responses"
        stack.enter_context(environment({**env, "PUBSUB_EMULATOR_HOST": broker.host}))
        swaps = Swaps(folder / "models") if plan.swap_every_s else None
        env |= swaps.env if swaps else {}
        traffic = Traffic(PROJECT, plan, PubsubSender(PROJECT), *([swaps.artifacts] if swaps else []))
        stack.callback(traffic.close)
        server.fail(503, 1_000_000, DOOMED)
        stack.enter_context(_hearing(traffic.journal))
        places = []
        for number in range(plan.workers):
            log, way = folder / f"worker-{number}.log", front if push else None
            place = Place(loop, broker.host, plan.delivery, way, env, log, counts)
            stack.callback(place.stop)
            places.append(place)
        stack.enter_context(repeating(lambda: report(traffic.journal, counts, say), lambda: REPORT_S))
        if plan.kill_every_s:
            stack.enter_context(repeating(killer(places, plan.seed), lambda: counts.pause(plan.kill_every_s)))
        if plan.broker_every_s:

            def restart() -> None:
                broker.restart()
                counts.count("broker")

            stack.enter_context(repeating(restart, lambda: counts.pause(plan.broker_every_s)))
        if swaps:

            def swap() -> None:
                swaps.move()
                counts.count("swaps")

            stack.enter_context(repeating(swap, lambda: plan.swap_every_s))
        return finish(traffic, places, plan, say), counts


def finish(traffic: Traffic, places: Sequence[Place], plan: Plan, say: Callable[[str], None]) -> Verdict:
    """Send everything, and wait for the answers and their copies. Raises what kept a worker from its work."""
    traffic.send()
    if traffic.journal.wait(plan.quiet_s):
        traffic.journal.settle(plan.settle_s)
    for place in places:
        if place.failure:
            raise place.failure
    for line in traffic.journal.troubles()[:_TROUBLES]:
        say(line)
    return traffic.journal.verdict()


def _storage(topology: Topology, broker: str, day: FaultPlan | None) -> StorageServer:
    notifier = Notifier(broker, watches(topology.notifications, PROJECT))
    return StorageServer(names=[each.name for each in topology.buckets], notifier=notifier, fault_plan=day)


@contextmanager
def _hearing(journal: RequestJournal) -> Iterator[None]:
    """Every response on the shared response subscription is offered to the journal, then acked."""

    def hear(message: Any) -> None:
        journal.offer(decode_response(message.data, message.attributes), message.data)
        message.ack()

    with pubsub_v1.SubscriberClient(transport=AnySizeTransport) as client:
        stream = client.subscribe(f"projects/{PROJECT}/subscriptions/res_predict-sub", hear)
        try:
            yield
        finally:
            stream.cancel()
            stream.result()
