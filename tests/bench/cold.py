"""Cold start: from the start of the worker's process to the first response at a subscriber (for push, and HTTP 2xx)."""

from __future__ import annotations

import http.client
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence

from google.cloud import pubsub_v1

from infra.local.ports import free_port
from infra.local.twin import Twin
from tests.bench.parts import (
    GIVE_UP_S,
    ResponseListener,
    as_the_image,
    environment,
    process,
    pull_command,
    push_body,
    push_command,
)
from tests.bench.rows import RATIO, Row, row
from tests.bench.subjects import Subject

HELD = ["taskset", "--cpu-list", "0"]
"""Before a command: on one CPU, as an instance of one vCPU; the broker and the client keep all."""

ENTRY_POINTS = ("push", "pull")
_SLOWER = "savedmodel"
"""The engine that the others are compared with."""


def cold_starts(subjects: Sequence[Subject], runs: int) -> list[Row]:
    """A row for each model, entry point and engine, on all CPUs and on one. All take turns: drift hits them alike."""
    settings = as_the_image()
    taken: dict[tuple[str, str, str, bool], list[float]] = {}
    with Twin(worker=None) as twin, environment(twin.env):
        listener = ResponseListener(twin.env["GOOGLE_CLOUD_PROJECT"])
        try:
            for _ in range(runs):
                for subject, engine, entry_point, held in _cases(subjects):
                    env = {**settings, **twin.env, "ENGINE": engine, "ARTIFACT": str(subject.artifact)}
                    start = _push if entry_point == "push" else _pull
                    seconds = start(HELD if held else [], env, listener, subject.make_images(1)[0])
                    taken.setdefault((subject.name, entry_point, engine, held), []).append(seconds)
        finally:
            listener.close()
    rows = []
    for (name, entry_point, engine, held), runs_s in taken.items():
        what, cpus = f"cold_start.{name}.{entry_point}{'.one_cpu' * held}", 1 if held else None
        rows.append(row(f"{what}.{engine}", runs_s, "s", cpus=cpus))
        if engine != _SLOWER and (slower := taken.get((name, entry_point, _SLOWER, held))):
            shares = [ours / theirs for ours, theirs in zip(runs_s, slower, strict=True)]
            rows.append(row(f"{what}.of {_SLOWER}.{engine}", shares, RATIO, cpus=cpus))
    return rows


def _cases(subjects: Sequence[Subject]) -> Iterator[tuple[Subject, str, str, bool]]:
    for subject in subjects:
        for entry_point in ENTRY_POINTS:
            for held in (False, True) if shutil.which(HELD[0]) else (False,):
                for engine in subject.engines:
                    yield subject, engine, entry_point, held


def push_first(port: int, image: bytes, request_id: str) -> float:
    """Push an image to a worker that is starting; the moment at which it was acknowledged."""
    body = push_body(image, request_id)
    start = time.perf_counter()
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=GIVE_UP_S)
            connection.request("POST", "/", body, {"Content-Type": "application/json"})
            status = connection.getresponse().status
            break
        except ConnectionRefusedError:
            if time.perf_counter() - start > GIVE_UP_S:
                raise
            time.sleep(0.002)
    answered = time.perf_counter()
    assert status == 204, f"the worker answered {status}"
    return answered


def _push(before: list[str], env: dict[str, str], listener: ResponseListener, image: bytes) -> float:
    port, request_id = free_port(), uuid.uuid4().hex
    start = time.perf_counter()
    with process([*before, *push_command(port)], env):
        return max(push_first(port, image, request_id), listener.wait({request_id})) - start


def _pull(before: list[str], env: dict[str, str], listener: ResponseListener, image: bytes) -> float:
    request_id = uuid.uuid4().hex
    publisher = pubsub_v1.PublisherClient()
    topic = f"projects/{env['GOOGLE_CLOUD_PROJECT']}/topics/req_predict"
    publisher.publish(topic, image, request_id=request_id).result(GIVE_UP_S)
    publisher.stop()
    start = time.perf_counter()
    with process([*before, *pull_command()], env):
        return listener.wait({request_id}) - start
