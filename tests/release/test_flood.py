"""More messages than the worker can hold, invalid ones among them: it survives and answers all."""

from __future__ import annotations

import os
from collections import Counter
from typing import Literal

import pytest

from infra.local.topology import Topology
from infra.local.twin import Twin
from tests.fault.process_monitor import ProcessMonitor
from tests.hostile import LARGE
from tests.pubsub_client import PubsubClient
from tests.samples import encoded
from tests.waiting import until

IMAGES = int(os.environ.get("FLOOD", "80"))
JUNK = {
    "x" * 200: "y" * 900,
    "top_k\n": "1",
    "__proto__": "{}",
    "traceparent": "00-junk",
    "googclient_schemaname": "x",
    "ключ": "значение \u202e \x00 end",
    **{f"k{number}": "v" * 50 for number in range(80)},
}
"""Attributes that ask for nothing."""


@pytest.mark.parametrize("entry_point", ["push", "pull"])
def test_a_flood_is_worked_off(entry_point: Literal["push", "pull"], monkeypatch: pytest.MonkeyPatch) -> None:
    photo, large = encoded("JPEG", (1600, 1200), "RGB"), LARGE["clear png"]()
    # A flood is refused by the worker many times: with real waits of 10 s and more the test would take minutes.
    topology = Topology.read().with_retry(0.2, 0.8)
    env = {"PULL_MAX_MESSAGES": "16", "THREADS": "2"}
    with Twin(worker=entry_point, topology=topology, worker_env=env) as twin:
        for name, value in twin.env.items():
            monkeypatch.setenv(name, value)
        assert twin._worker is not None
        with PubsubClient(twin.project) as pubsub, ProcessMonitor(twin._worker.pid) as watch:
            expected: dict[str, str] = {}
            futures = []
            topic = f"projects/{pubsub.project}/topics/req_predict"
            for number in range(IMAGES):
                kind = number % 20
                data = large if kind == 0 else b"poison" * 100 if kind == 1 else photo
                attributes = JUNK if kind == 2 else {}
                request_id = f"r{number}"
                expected[request_id] = "error" if kind == 1 else "ok"
                futures.append(pubsub.publisher.publish(topic, data, request_id=request_id, **attributes))
            for future in futures:
                future.result(60)
            found = pubsub.responses(set(expected), timeout_s=150, copies_for_s=1.0)
            assert {response.request_id: response.status for response in found} == expected
            assert max(Counter(response.request_id for response in found).values()) == 1
            assert watch.unchanged, "a process died"
            assert pubsub.backlog("dead_predict-sub") == []
            assert until(lambda: pubsub.unacked("req_predict-sub") == []), "answered, and never acked"
        assert watch.peak_mb < 400
        print(f"entry_point={entry_point} requests={IMAGES} answered={len(found)} dead=0 peak_mb={watch.peak_mb:.0f}")
