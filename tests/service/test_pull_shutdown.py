"""SIGTERM to a busy pull worker: requests in flight are finished and the rest is nacked, within the grace period."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from functions.observability.request_log import OUTCOMES
from infra.local.topology import Topology
from infra.local.twin import Twin
from tests.log_lines import log_lines
from tests.pubsub_client import PubsubClient
from tests.samples import encoded
from tests.service.hung_storage import stalled
from tests.waiting import until

IMAGES = 300


@contextmanager
def pull_worker(root: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker in small bites, so that there is a middle; killed if the test fails."""
    env = {**os.environ, "MAX_BATCH_SIZE": "2"}
    with log.open("wb") as stderr:
        worker = subprocess.Popen(
            [sys.executable, "-m", "functions.entrypoints.pull_worker"], cwd=root, env=env, stderr=stderr
        )
        try:
            yield worker
        finally:
            worker.kill()
            worker.wait()


def stop(worker: subprocess.Popen[bytes], log: Path) -> None:
    """SIGTERM; it ends by itself, in time, and says that nothing is unfinished."""
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0, log.read_text()
    assert '"worker stopped"' in log.read_text() and '"unfinished": 0' in log.read_text()
    assert "Traceback" not in log.read_text()


@pytest.mark.slow
def test_shutdown_loses_no_request_and_duplicates_no_response(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, ids = encoded("JPEG", (1600, 1200), "RGB"), {f"r{number}" for number in range(IMAGES)}
    with Twin(worker=None, topology=Topology.read().with_retry(0.2, 0.8)) as twin:
        for name, value in twin.env.items():
            monkeypatch.setenv(name, value)
        with PubsubClient(twin.env["GOOGLE_CLOUD_PROJECT"]) as pubsub:
            for request_id in ids:
                pubsub.publish(image, request_id=request_id)
            answered: list[str] = []
            with pull_worker(root, tmp_path / "first.log") as worker:
                deadline = time.monotonic() + 30
                while not answered and time.monotonic() < deadline:
                    answered += [response.request_id for response in pubsub.responses({"never"}, timeout_s=0.05)]
                stop(worker, tmp_path / "first.log")
            lines = log_lines(tmp_path / "first.log")
            ended = {name: {line["request_id"] for line in lines if line.get("outcome") == name} for name in OUTCOMES}
            late = ended["ok"] - set(answered)
            arrived = pubsub.responses(late, timeout_s=30 if late else 1, copies_for_s=1)
            answered += [response.request_id for response in arrived]
            assert ended["ok"] == set(answered) and ended["nacked"], "each nacked delivery has a log line"
            assert ended["nacked"] <= ids - set(answered)
            assert len(answered) == len(set(answered)), "nothing twice"
            assert 0 < len(answered) < IMAGES, "it was stopped in the middle"

            # A message that was on the wire when the stream ended comes back when its lease is over.
            with pull_worker(root, tmp_path / "second.log") as worker:
                rest = [
                    response.request_id
                    for response in pubsub.responses(ids - set(answered), timeout_s=90, copies_for_s=1.0)
                ]
                stop(worker, tmp_path / "second.log")
            assert sorted(rest) == sorted(ids - set(answered)), "the next worker answers exactly the rest"


@pytest.mark.timing
def test_a_worker_ends_in_time_while_storage_hangs(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Twin(worker=None, topology=Topology.read().with_retry(0.2, 0.8)) as twin:
        for name, value in twin.env.items():
            monkeypatch.setenv(name, value)
        with PubsubClient(twin.env["GOOGLE_CLOUD_PROJECT"]) as pubsub:
            pubsub.storage.bucket("payloads").blob("shoe").upload_from_string(encoded())
            with pull_worker(root, tmp_path / "first.log") as worker, stalled(twin.storage) as asked:
                pubsub.publish(b'{"image_uri": "gs://payloads/shoe"}', request_id="r")
                assert asked.wait(30)
                assert until(lambda: '"worker ready"' in (tmp_path / "first.log").read_text()), "it heeds SIGTERM"
                worker.send_signal(signal.SIGTERM)
                assert worker.wait(10) == 0
            assert '"unfinished": 0' in (tmp_path / "first.log").read_text(), "it nacked what it could not fetch"
            with pull_worker(root, tmp_path / "second.log") as worker:
                assert [response.status for response in pubsub.responses({"r"}, timeout_s=60)] == ["ok"]
                stop(worker, tmp_path / "second.log")
