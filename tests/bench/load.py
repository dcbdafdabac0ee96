"""Steady load: images a second from first publish to last response; client, broker and worker share this machine."""

from __future__ import annotations

import time
import uuid
from typing import Any

from google.cloud import pubsub_v1

from functions.bootstrap import build
from functions.contract import Envelope
from functions.settings import Settings
from infra.local.twin import Twin
from tests.bench.parts import PULL_COMMAND, Ear, environment, free_port, garments, process, pss_mb, push_command


def loads(images: int) -> list[dict[str, Any]]:
    """Rows for the push and the pull worker, and for the same decode-and-score loop without a broker."""
    files = garments(images)
    rows = [_loop(files)]
    for door in ("push", "pull"):
        row = _door(door, files)
        row["of_loop"] = row["images_per_s"] / rows[0]["images_per_s"]
        rows.append(row)
    return rows


def _loop(files: list[bytes]) -> dict[str, Any]:
    service = build(Settings(project="bench"))
    envelopes = [Envelope(str(number), data) for number, data in enumerate(files)]
    service.answer(envelopes[0])
    start = time.perf_counter()
    for envelope in envelopes:
        assert service.answer(envelope).status == "ok"
    seconds = time.perf_counter() - start
    service.predictor.engine.close()
    return {"what": "load", "door": "none (loop)", "images": len(files), "images_per_s": len(files) / seconds}


def _door(door: str, files: list[bytes]) -> dict[str, Any]:
    with Twin(worker=None) as twin, environment(twin.env):
        project, port = twin.env["GOOGLE_CLOUD_PROJECT"], free_port()
        ear = Ear(project)
        try:
            with process(push_command(port) if door == "push" else PULL_COMMAND, twin.env) as worker:
                if door == "push":
                    push_to(project, port)
                seconds, memory = _run(project, ear, files, worker.pid)
        finally:
            ear.close()
    return {
        "what": "load",
        "door": door,
        "images": len(files),
        "images_per_s": len(files) / seconds,
        "worker_pss_mb": memory,
    }


def push_to(project: str, port: int) -> None:
    with pubsub_v1.SubscriberClient() as subscriber:
        subscriber.modify_push_config(
            subscription=f"projects/{project}/subscriptions/req_predict-sub",
            push_config={"push_endpoint": f"http://127.0.0.1:{port}/"},
        )


def _run(project: str, ear: Ear, files: list[bytes], pid: int) -> tuple[float, float]:
    ear.wait(publish(project, files[:50]))
    start = time.perf_counter()
    seconds = ear.wait(publish(project, files)) - start
    return seconds, pss_mb(pid)


def publish(project: str, files: list[bytes]) -> set[str]:
    publisher = pubsub_v1.PublisherClient()
    topic = f"projects/{project}/topics/req_predict"
    ids = {uuid.uuid4().hex: data for data in files}
    for request_id, data in ids.items():
        publisher.publish(topic, data, request_id=request_id)
    publisher.stop()
    return set(ids)
