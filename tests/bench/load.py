"""Steady load: images a second from first publish to last response; client, broker and worker share this machine."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence

import requests
from google.cloud import pubsub_v1

from functions.bootstrap import build
from functions.contract import Envelope
from functions.settings import Settings
from infra.local.twin import Twin
from tests.bench.parts import (
    GIVE_UP_S,
    PULL_COMMAND,
    Ear,
    environment,
    free_port,
    process,
    pss_mb,
    push_command,
    until_listening,
)
from tests.bench.rows import Row, row
from tests.bench.subjects import SHIPPED, Subject

_PHOTOS = 10
"""So many times fewer photos than small pictures."""


def loads(subjects: Sequence[Subject], images: int) -> tuple[list[Row], list[Row]]:
    """Images a second through push, pull and the same decoding and scoring without a broker; memory after the load."""
    throughput, memory = [], []
    for subject in subjects:
        files = subject.pictures(images if subject.name == SHIPPED else max(1, images // _PHOTOS))
        for engine in subject.engines:
            how = f"{len(files)} pictures of {sum(map(len, files)) / len(files) / 1000:.2g} kB"
            loop = _loop(subject, engine, files)
            throughput.append(row(f"throughput.{subject.name}.loop.{engine}", [loop], "images/s", how=how))
            for door in ("push", "pull"):
                per_s, pss = _door(door, subject, engine, files)
                name = f"{subject.name}.{door}"
                throughput.append(row(f"throughput.{name}.{engine}", [per_s], "images/s", how=how))
                throughput.append(row(f"throughput.{name}.of the loop.{engine}", [per_s / loop], "1", how=how))
                memory.append(row(f"memory.{name}.{engine}", [pss], "MB", how=f"PSS after {how}"))
    return throughput, memory


def _loop(subject: Subject, engine: str, files: list[bytes]) -> float:
    service = build(Settings(project="bench", artifact=str(subject.artifact), engine=engine))
    envelopes = [Envelope(str(number), data) for number, data in enumerate(files)]
    service.answer(envelopes[0])
    start = time.perf_counter()
    for envelope in envelopes:
        assert service.answer(envelope).status == "ok"
    seconds = time.perf_counter() - start
    service.predictor.engine.close()
    return len(files) / seconds


def _door(door: str, subject: Subject, engine: str, files: list[bytes]) -> tuple[float, float]:
    """Images a second, and MB of the worker's processes afterwards."""
    with Twin(worker=None) as twin, environment(twin.env):
        project, port = twin.env["GOOGLE_CLOUD_PROJECT"], free_port()
        ear = Ear(project)
        env = {**twin.env, "ARTIFACT": str(subject.artifact), "ENGINE": engine}
        try:
            with process(push_command(port) if door == "push" else PULL_COMMAND, env) as worker:
                if door == "push":
                    push_to(project, port)
                ear.wait(publish(project, files[:50]))
                start = time.perf_counter()
                seconds = ear.wait(publish(project, files)) - start
                return len(files) / seconds, pss_mb(worker.pid)
        finally:
            ear.close()


def push_to(project: str, port: int) -> None:
    """Push requests to a worker once it is ready: what is refused comes again in ten seconds at the earliest."""
    until_listening(port)
    requests.get(f"http://127.0.0.1:{port}/ready", timeout=GIVE_UP_S).raise_for_status()
    with pubsub_v1.SubscriberClient() as subscriber:
        subscriber.modify_push_config(
            subscription=f"projects/{project}/subscriptions/req_predict-sub",
            push_config={"push_endpoint": f"http://127.0.0.1:{port}/"},
        )


def publish(project: str, files: list[bytes]) -> set[str]:
    publisher = pubsub_v1.PublisherClient()
    topic = f"projects/{project}/topics/req_predict"
    ids = {uuid.uuid4().hex: data for data in files}
    for request_id, data in ids.items():
        publisher.publish(topic, data, request_id=request_id)
    publisher.stop()
    return set(ids)
