"""Cold start: from the start of the worker's process to the first response at a subscriber (for push, and HTTP 2xx)."""

from __future__ import annotations

import base64
import http.client
import json
import time
import uuid
from statistics import median
from typing import Any

from google.cloud import pubsub_v1

from infra.local.twin import Twin
from tests.bench.parts import GIVE_UP_S, PULL_COMMAND, Ear, environment, free_port, garments, process, push_command


def cold_starts(engines: list[str], runs: int) -> list[dict[str, Any]]:
    """One row a door and engine: seconds, all runs and their median. The engines take turns: drift hits both."""
    image = garments(1)[0]
    taken: dict[tuple[str, str], list[float]] = {}
    with Twin(worker=None) as twin, environment(twin.env):
        ear = Ear(twin.env["GOOGLE_CLOUD_PROJECT"])
        try:
            for _ in range(runs):
                for engine in engines:
                    env = {**twin.env, "ENGINE": engine}
                    taken.setdefault(("push", engine), []).append(_push(env, ear, image))
                    taken.setdefault(("pull", engine), []).append(_pull(env, ear, image))
        finally:
            ear.close()
    return [
        {"what": "cold start", "door": door, "engine": engine, "seconds": seconds, "median_s": median(seconds)}
        for (door, engine), seconds in taken.items()
    ]


def _push(env: dict[str, str], ear: Ear, image: bytes) -> float:
    port, request_id = free_port(), uuid.uuid4().hex
    body = json.dumps(
        {
            "message": {
                "data": base64.b64encode(image).decode(),
                "messageId": request_id,
                "attributes": {"request_id": request_id},
            },
            "subscription": "bench",
        }
    )
    start = time.perf_counter()
    with process(push_command(port), env):
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
        return max(answered, ear.wait({request_id})) - start


def _pull(env: dict[str, str], ear: Ear, image: bytes) -> float:
    request_id = uuid.uuid4().hex
    publisher = pubsub_v1.PublisherClient()
    topic = f"projects/{env['GOOGLE_CLOUD_PROJECT']}/topics/req_predict"
    publisher.publish(topic, image, request_id=request_id).result(GIVE_UP_S)
    publisher.stop()
    start = time.perf_counter()
    with process(PULL_COMMAND, env):
        return ear.wait({request_id}) - start
