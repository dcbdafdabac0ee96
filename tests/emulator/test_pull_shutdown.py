"""SIGTERM to a pull worker in the middle of its work: what it holds is finished, the rest is handed back, in time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infra.local.topology import Topology
from infra.local.twin import Twin
from tests.desk import Desk
from tests.samples import encoded

IMAGES = 400


def test_nothing_is_lost_and_nothing_is_answered_twice(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = encoded("JPEG", (1600, 1200), "RGB")
    with Twin(worker=None, topology=Topology.read().with_retry(0.2, 0.8)) as twin:
        for name, value in twin.env.items():
            monkeypatch.setenv(name, value)
        with Desk(twin.env["GOOGLE_CLOUD_PROJECT"]) as desk:
            ids = {f"r{number}" for number in range(IMAGES)}
            for request_id in ids:
                desk.publish(image, request_id=request_id)
            with subprocess.Popen(
                [sys.executable, "-m", "functions.worker"],
                cwd=root,
                env={**os.environ, "MAX_BATCH_SIZE": "2"},
                stderr=subprocess.PIPE,
                text=True,
            ) as worker:
                first = desk.responses({"never"}, timeout_s=0.1)
                deadline = time.monotonic() + 30
                while not first and time.monotonic() < deadline:
                    first = desk.responses({"never"}, timeout_s=0.05)
                worker.send_signal(signal.SIGTERM)
                told = time.monotonic()
                _, said = worker.communicate(timeout=30)
                assert time.monotonic() - told < 10
            assert worker.returncode == 0, said
            assert '"unfinished": 0' in said
            assert "Traceback" not in said
            answered = [response.request_id for response in first + desk.responses(ids, timeout_s=2)]
            assert len(answered) == len(set(answered)), "nothing twice"
            assert 0 < len(answered) < IMAGES, "it was stopped in the middle"

            twin_worker = subprocess.Popen(
                [sys.executable, "-m", "functions.worker"], cwd=root, stderr=subprocess.DEVNULL
            )
            try:
                rest = {response.request_id for response in desk.responses(ids - set(answered), timeout_s=100)}
            finally:
                twin_worker.terminate()
                assert twin_worker.wait(20) == 0
            assert rest == ids - set(answered), "the next worker answers exactly the rest"
