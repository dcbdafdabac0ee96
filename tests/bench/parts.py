"""Shared parts of the measurements: a worker process and a listener for responses."""

from __future__ import annotations

import compileall
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from functions.gcp.streaming_pull import PulledDelivery, PullStream
from functions.gcp.subscriber import subscriber
from functions.messages.contract import KIND
from functions.messages.response_list import BATCH
from functions.runtime.supervised import Supervisor
from infra.local.ports import listens
from tests.dockerfile import instructions

ROOT = Path(__file__).resolve().parents[2]
GIVE_UP_S = 60.0


@contextmanager
def environment(env: Mapping[str, str]) -> Iterator[None]:
    """Have the stock clients of this process find the twin."""
    before = dict(os.environ)
    os.environ.update(env)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def as_the_image() -> dict[str, str]:
    """Compile the worker's modules like the image's build. Returns the image's environment without paths."""
    for package in ("functions", "model"):
        assert compileall.compile_dir(ROOT / package, quiet=1), f"{package} cannot be compiled"
    pairs = (pair.split("=", 1) for word, rest in _dockerfile() if word == "ENV" for pair in shlex.split(rest))
    return {name: value for name, value in pairs if not name.endswith("PATH")}


def push_command(port: int, bin: Path = Path(sys.executable).parent) -> list[str]:
    """The image's command, on loopback; `bin` is the folder of the environment's programs."""
    program, *rest = json.loads(dict(_dockerfile())["CMD"])
    here = ["127.0.0.1" if word == "0.0.0.0" else word for word in rest]
    return [str(bin / program), *here, "--port", str(port)]


def _dockerfile() -> list[tuple[str, str]]:
    return list(instructions((ROOT / "Dockerfile").read_text()))


PULL_COMMAND = [sys.executable, "-m", "functions.entrypoints.pull_worker"]


@contextmanager
def process(command: list[str], env: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A worker in a process group of its own, which ends with the block."""
    started = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **env, "PYTHONPATH": str(ROOT), "LOG_LEVEL": "WARNING"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield started
    finally:
        os.killpg(started.pid, signal.SIGTERM)
        try:
            started.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()


def until_listening(port: int) -> None:
    """Wait for a server of this machine. Raises TimeoutError."""
    give_up = time.perf_counter() + GIVE_UP_S
    while not listens(port):
        if time.perf_counter() > give_up:
            raise TimeoutError(f"nobody listens on port {port} after {GIVE_UP_S:g} s")
        time.sleep(0.002)


_IDS = re.compile(rb'"request_id":"([0-9a-f]{32})"')
"""The ids in a list of responses: to read its JSON would take more of the machine that is shared."""


class Hearing:
    """Records when each response arrived, by request_id.

    A waiting thread is woken once, at the end, so that measuring takes little CPU time.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._missing: set[str] = set()
        self._all_there = threading.Event()
        self.heard: dict[str, float] = {}
        self.last = b""

    def hear(self, payload: bytes, attributes: Mapping[str, str]) -> None:
        """A response, or a list of them, arrived now."""
        now, self.last = time.perf_counter(), payload
        ids = {attributes["request_id"]}
        if attributes.get(KIND) == BATCH:
            ids = {each.decode() for each in _IDS.findall(payload)}
        with self._lock:
            for request_id in ids:
                self.heard.setdefault(request_id, now)
            if ids & self._missing:
                self._missing -= ids
                if not self._missing:
                    self._all_there.set()

    def wait(self, ids: set[str]) -> float:
        """The moment the last of these was heard. Raises TimeoutError, naming how many are missing."""
        with self._lock:
            self._missing = ids - self.heard.keys()
            self._all_there.clear()
            if not self._missing:
                self._all_there.set()
        if not self._all_there.wait(GIVE_UP_S):
            raise TimeoutError(f"{len(self._missing)} of {len(ids)} responses did not come")
        return max(self.heard[request_id] for request_id in ids)


class ResponseListener(Hearing):
    """Receives every response of the shared response subscription."""

    def __init__(self, project: str) -> None:
        super().__init__()
        subscription = f"projects/{project}/subscriptions/res_predict-sub"
        self._stream = PullStream(subscriber(), subscription, self._receive, 1000, 100_000_000, Supervisor())

    def _receive(self, delivery: PulledDelivery) -> None:
        delivery.ack()
        self.hear(delivery.envelope.payload, delivery.envelope.attributes)

    def close(self) -> None:
        self._stream.stop(GIVE_UP_S)
        self._stream.close(GIVE_UP_S)


def pss_mb(pid: int) -> float:
    """Proportional set size of a process and its descendants, in MB (Linux)."""
    total = 0
    for each in descendants(pid):
        rollup = Path(f"/proc/{each}/smaps_rollup").read_text()
        total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total / 1024


def descendants(pid: int) -> list[int]:
    """A process and all that it started (Linux)."""
    found = [pid]
    for each in found:
        for task in Path(f"/proc/{each}/task").iterdir():
            with suppress(FileNotFoundError):  # a thread that has ended since
                found += [int(child) for child in (task / "children").read_text().split()]
    return found
