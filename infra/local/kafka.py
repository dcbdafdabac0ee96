"""A Kafka broker for the twin: one that runs already, or one of its own."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.local.child import Child, ChildFailed
from infra.local.ports import free_port
from infra.local.worker import ROOT

_START_S = 60.0
"""Seconds until the broker must answer: after a kill it first reads its logs, for some 13 s."""

_FORMATS = 3
"""Starts of a broker without a storage: it refuses one in 64 random cluster ids, those that begin with a hyphen."""

_READY = b"bootstrap="
_POLL_S = 0.05


class NoKafka(RuntimeError):
    """There is no Kafka broker here; the message says how to get one."""


def find() -> Path:
    """The command that runs a broker: kafka/broker in the folder SHARED, by default ../shared. Raises NoKafka."""
    command = Path(os.environ.get("SHARED", ROOT.parent / "shared")) / "kafka" / "broker"
    if not command.is_file():
        raise NoKafka(
            "there is no Kafka broker here: set KAFKA_BOOTSTRAP to the host:port of one that runs, such as a download "
            "from https://kafka.apache.org/quickstart (Java 17 or newer; KAFKA_BOOTSTRAP=localhost:9092)"
        )
    return command


class KafkaBroker:
    """One broker on loopback, from `start` to `stop`; with `given`, the brokers at these addresses, which run already.

    `data`: the folder of its messages, which survive both. `settings`: of the broker, by Kafka's names.
    """

    def __init__(self, data: Path, given: str = "", settings: Mapping[str, str] | None = None) -> None:
        self._data, self._given, self._settings = data, given, settings or {}
        self._port = 0 if given else free_port()
        self._child: Child | None = None

    @property
    def bootstrap(self) -> str:
        """The addresses for clients, `host:port,...`."""
        return self._given or f"127.0.0.1:{self._port}"

    @property
    def env(self) -> dict[str, str]:
        """The environment with which the worker and the client use it."""
        return {"KAFKA_BOOTSTRAP": self.bootstrap, "PREDICTIONS_BROKER": f"kafka://{self.bootstrap}"}

    def start(self) -> None:
        """Start the broker and wait until it answers. Raises NoKafka or ChildFailed."""
        if self._given:
            return
        command = [sys.executable, str(find()), "--data", str(self._data), "--port", str(self._port)]
        command += [word for name, value in self._settings.items() for word in ("--set", f"{name}={value}")]
        for _ in range(_FORMATS - 1):
            try:
                return self._start(command)
            except ChildFailed:
                if (self._data / "log" / "meta.properties").exists():
                    raise
        self._start(command)

    def _start(self, command: Sequence[str]) -> None:
        log = self._data.with_name(f"{self._data.name}.log")
        self._child = child = Child("Kafka broker", command, log=log, cwd=ROOT, env=os.environ)
        deadline = time.monotonic() + _START_S
        while _READY not in log.read_bytes():
            child.check()
            if time.monotonic() > deadline:
                raise child.failed(f"did not answer within {_START_S:g} s")
            time.sleep(_POLL_S)

    def check(self) -> None:
        """Raise ChildFailed when the broker has ended."""
        if self._child:
            self._child.check()

    def kill(self) -> None:
        """Kill the broker, as when a machine fails."""
        if self._child:
            self._child.kill()

    def stop(self) -> None:
        """Stop the broker; what it has stays in its folder."""
        if self._child:
            self._child.stop()
            self._child = None
