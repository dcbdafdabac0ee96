"""Kafka workers in processes of their own, with no project and no credentials of Google."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from infra.local.ports import free_port
from tests.conftest import ROOT
from tests.log_lines import log_lines
from tests.waiting import until

COMMAND = [sys.executable, "-m", "functions.entrypoints.kafka_worker"]

FAST_GROUP = "session.timeout.ms=6000\nheartbeat.interval.ms=1000\ntransaction.timeout.ms=6000\n"
"""Properties with which the group notices a dead worker soon: 6 s is the brokers' minimum."""

_GOOGLE = ("GOOGLE_CLOUD_PROJECT", "GOOGLE_APPLICATION_CREDENTIALS", "PUBSUB_EMULATOR_HOST", "STORAGE_EMULATOR_HOST")


class KafkaWorker:
    """A worker's process and its log."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, health: str) -> None:
        self.process, self._log, self._health = process, log, health

    @property
    def text(self) -> str:
        return self._log.read_text()

    def lines(self) -> list[dict[str, Any]]:
        """The lines of its log."""
        return log_lines(self._log)

    def partitions(self) -> set[str]:
        """The partitions that it has now, as "topic/number"."""
        found = set[str]()
        for line in self.lines():
            if line["message"] == "partitions assigned":
                found |= set(line["partitions"])
            elif line["message"] == "partitions revoked":
                found -= set(line["partitions"])
        return found

    def answered(self) -> list[str]:
        """The request ids that it has answered with predictions, by its log."""
        return [line["request_id"] for line in self.lines() if line.get("outcome") == "ok"]

    def health(self) -> dict[str, Any]:
        """The reply to GET /health."""
        found: dict[str, Any] = requests.get(f"http://{self._health}/health", timeout=10).json()
        return found

    def kill(self) -> None:
        """End it at once, as a crash does."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """SIGTERM: it ends by itself, in time and in order."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(12) == 0, self.text
        assert '"worker stopped"' in self.text and "in order" not in self.text, self.text


@contextmanager
def kafka_worker(
    log: Path, env: Mapping[str, str], *, is_ready: bool = True, command: Sequence[str] = COMMAND
) -> Iterator[KafkaWorker]:
    """A worker; killed at the end if it still runs. `is_ready`: wait until it is. `command`: starts it."""
    health = f"127.0.0.1:{free_port()}"
    clean = {name: value for name, value in os.environ.items() if name not in _GOOGLE}
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**clean, "HEALTH_ADDRESS": health, **env}, stderr=stderr, stdout=stderr
        )
        worker = KafkaWorker(process, log, health)
        try:
            if is_ready:
                assert until(lambda: '"worker ready"' in worker.text or process.poll() is not None, 60)
                assert process.poll() is None, worker.text
            yield worker
        finally:
            process.kill()
            process.wait()


def ended_worker(env: Mapping[str, str]) -> str:
    """What a worker logs that ends by itself because it cannot work."""
    clean = {name: value for name, value in os.environ.items() if name not in _GOOGLE}
    done = subprocess.run(
        COMMAND, cwd=ROOT, env={**clean, **env}, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode in (1, 2) and "Traceback" not in done.stderr, done.stderr
    return done.stderr


def config_file(folder: Path, text: str = FAST_GROUP) -> dict[str, str]:
    """The variable that names a file with these properties."""
    file = folder / "kafka.properties"
    file.write_text(text)
    return {"KAFKA_CONFIG": str(file)}
