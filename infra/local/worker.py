"""Starts the worker for the twin, as push, pull or Kafka worker, and waits until ready."""

from __future__ import annotations

import http.client
import os
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from client.loopback import without_proxy
from infra.local.child import Child
from infra.local.ports import LOOPBACK

ROOT = Path(__file__).resolve().parents[2]

_PULL_READY = re.compile(rb'"message":\s*"(training )?worker ready"')

# Seconds between two checks.
_POLL_S = 0.02

# Seconds for which /ready may have another status than 200 before the start counts as failed.
_PATIENCE_S = 2.0


def start_push(port: int, env: Mapping[str, str], log: Path, host: str = LOOPBACK) -> Child:
    """Start the push worker on a port of an address."""
    command = [
        sys.executable,
        "-m",
        "functions.runtime.fast_start",
        "functions.entrypoints.server",
        "--host",
        host,
        "--port",
        str(port),
    ]
    return Child("worker", command, log=log, cwd=ROOT, env=_environment(env))


def start_pull(env: Mapping[str, str], log: Path) -> Child:
    """Start the pull worker."""
    command = [sys.executable, "-m", "functions.entrypoints.pull_worker"]
    return Child("pull worker", command, log=log, cwd=ROOT, env=_environment(env))


def start_kafka(env: Mapping[str, str], log: Path) -> Child:
    """Start the Kafka worker."""
    command = [sys.executable, "-m", "functions.entrypoints.kafka_worker"]
    return Child("Kafka worker", command, log=log, cwd=ROOT, env=_environment(env))


def start_training(env: Mapping[str, str], log: Path) -> Child:
    """Start the training worker."""
    command = [sys.executable, "-m", "functions.entrypoints.train_worker"]
    return Child("training worker", command, log=log, cwd=ROOT, env=_environment(env))


def wait_push(worker: Child, port: int, timeout_s: float = 60.0, *, host: str = LOOPBACK) -> None:
    """Wait until GET /ready returns 200, which loads the model. ChildFailed when it ends, fails or takes too long."""
    deadline, refused = time.monotonic() + timeout_s, 0.0
    while time.monotonic() < deadline:
        worker.check()
        status = _get(host, port, "/ready", timeout_s)
        if status == 200:
            return
        if status:
            refused = refused or time.monotonic()
            if time.monotonic() - refused > _PATIENCE_S:
                raise worker.failed(f"answers /ready with {status}")
        time.sleep(_POLL_S)
    raise worker.failed(f"was not ready within {timeout_s:g} s")


def wait_pull(worker: Child, timeout_s: float = 60.0) -> None:
    """Wait until a pull, Kafka or training worker logs that it is ready. ChildFailed when it ends or takes too long."""
    deadline = time.monotonic() + timeout_s
    while not _PULL_READY.search(worker.log.read_bytes()):
        worker.check()
        if time.monotonic() > deadline:
            raise worker.failed(f"was not ready within {timeout_s:g} s")
        time.sleep(_POLL_S)


def _environment(env: Mapping[str, str]) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    own = {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
    return {**os.environ, **without_proxy(os.environ), **own, **env}


def _get(host: str, port: int, path: str, timeout_s: float) -> int | None:
    """The status of a GET, or None without a response. Proxies of the environment are not used."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
