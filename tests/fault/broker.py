"""The broker of a run: our server in a process of its own, killed and started with its data, or Google's emulator."""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from infra.local.child import Child
from infra.local.fault_plan import FaultPlan
from infra.local.google import GoogleEmulator
from infra.local.ports import free_port, listens
from infra.local.worker import ROOT

FAULT_PLAN = FaultPlan(duplicate=0.05, lose_acks=0.02, errors=0.01, burst=5)
"""At the broker: 5 % of messages come twice, acks are lost, calls are answered 503 and 429 in bursts."""

_START_S = 30.0


class Embedded:
    """Our server. Each life has its own fault plan, because the same seed would repeat the same faults."""

    def __init__(self, folder: Path, day: FaultPlan | None) -> None:
        self._folder, self._day, self._port, self._lives = folder, day, free_port(), 0
        self.host = f"127.0.0.1:{self._port}"
        # One thread starts every broker and outlives it: the parent-death signal comes when the starting thread ends.
        self._starter = ThreadPoolExecutor(1, "broker")
        self._child = self._starter.submit(self._start).result()

    def restart(self) -> None:
        """SIGKILL, then a new process on the same port with the same data. It runs until `stop`."""
        self._child.kill()
        self._child.stop()
        self._child = self._starter.submit(self._start).result()

    def stop(self) -> None:
        self._child.stop()
        self._starter.shutdown()

    def _start(self) -> Child:
        self._lives += 1
        command = [sys.executable, "-m", "infra.local", "pubsub", "--port", str(self._port)]
        command += ["--data-dir", str(self._folder / "broker")]
        if self._day:
            command += ["--fault-plan", _as_text(replace(self._day, seed=self._day.seed + self._lives))]
        log = self._folder / f"broker-{self._lives}.log"
        child = Child("Pub/Sub server", command, log=log, cwd=ROOT, env=os.environ)
        give_up = time.monotonic() + _START_S
        while not listens(self._port):
            child.check()
            if time.monotonic() > give_up:
                raise child.failed(f"did not listen within {_START_S:g} s")
            time.sleep(0.02)
        return child


class Google:
    """Google's emulator, which keeps nothing over a restart."""

    def __init__(self, folder: Path) -> None:
        self._emulator = GoogleEmulator(log=folder / "google.log")
        self.host = self._emulator.host
        self._emulator.start()

    def restart(self) -> None:
        raise NotImplementedError("Google's emulator keeps nothing over a restart")

    def stop(self) -> None:
        self._emulator.stop()


def _as_text(day: FaultPlan) -> str:
    names = ("seed", "duplicate", "lose_acks", "errors", "burst")
    return ",".join(f"{name}={getattr(day, name)}" for name in names)
