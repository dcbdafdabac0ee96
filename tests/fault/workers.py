"""Workers that are killed and restarted, each behind its own proxy."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path

from infra.local import worker as workers
from infra.local.child import Child, ChildFailed
from infra.local.ports import free_port
from tests.fault.broker_proxy import BrokerProxy
from tests.fault.event_loop import Loop
from tests.fault.load_balancer import LoadBalancer
from tests.fault.plan import Delivery, FaultCounts

_KILLED = -9
_POLL_S = 0.01

_AWAY = b"cannot start now: no Kafka broker"
"""What a worker logs that starts while the broker is away."""


class Place:
    """Runs one worker and restarts it whenever it ends, until `stop`. Push workers are registered with `front`.

    `broker`: the address of a Pub/Sub server, reached through a proxy; "" for Kafka, whose address is in `env`.
    """

    def __init__(
        self,
        loop: Loop,
        broker: str,
        delivery: Delivery,
        front: LoadBalancer | None,
        env: Mapping[str, str],
        log: Path,
        counts: FaultCounts,
    ) -> None:
        self._loop, self._delivery, self._front, self._log, self._counts = loop, delivery, front, log, counts
        self._proxy = BrokerProxy(broker, self._published) if broker else None
        self._env = dict(env)
        if self._proxy:
            loop.run(self._proxy.start())
            self._env["PUBSUB_EMULATOR_HOST"] = self._proxy.host
        self._worker: Child | None = None
        self._left: int | None = None
        self._stopping, self._leaving = threading.Event(), threading.Event()
        self.ready = threading.Event()
        self.failure: Exception | None = None
        # One thread starts every worker and outlives it: the parent-death signal comes when the starting thread ends.
        self._thread = threading.Thread(target=self._keep, name=log.stem)
        self._thread.start()

    def kill(self) -> bool:
        """SIGKILL the worker now; False when none is ready."""
        worker = self._worker
        if worker is None or not self.ready.is_set():
            return False
        self._counts.count("kills")
        worker.kill()
        return True

    def leave(self) -> bool:
        """Ask the worker to end, so that another one takes its place; False when none is ready."""
        worker = self._worker
        if worker is None or not self.ready.is_set():
            return False
        self._counts.count("rebalances")
        self._leaving.set()
        worker.terminate()
        return True

    def stop(self) -> None:
        """End the worker and start none."""
        self._stopping.set()
        self._thread.join()
        if self._proxy:
            self._loop.run(self._proxy.stop())

    def _published(self) -> bool:
        """The broker has a response; whether this worker was killed for it."""
        if self._left is None or self._worker is None:
            return False
        self._left -= 1
        if self._left:
            return False
        self._left = None
        self._counts.count("kills")
        self._counts.count("between")
        self._worker.kill()
        return True

    def _keep(self) -> None:
        try:
            while not self._stopping.is_set():
                self._live()
        except Exception as exc:
            self.failure = exc

    def _live(self) -> None:
        """One worker's life."""
        self._left = self._counts.life()
        self._leaving.clear()
        port = free_port()
        self._worker = child = self._started(port)
        try:
            if self._front:
                workers.wait_push(child, port)
                self._loop.run(self._front.add(port))
            else:
                workers.wait_pull(child)
        except ChildFailed:
            child.stop()
            # Killed before it had said that it was ready; or the broker is away, and the platform starts it again.
            if child.exit_code == _KILLED or (self._delivery == "kafka" and _AWAY in self._log.read_bytes()):
                return
            raise
        self.ready.set()
        while child.exit_code is None and not self._stopping.is_set():
            time.sleep(_POLL_S)
        self.ready.clear()
        if self._front:
            self._loop.run(self._front.remove(port))
        if child.exit_code not in (None, _KILLED) and not self._leaving.is_set():
            self._counts.count("unasked")
        child.stop()

    def _started(self, port: int) -> Child:
        if self._delivery == "push":
            return workers.start_push(port, self._env, self._log)
        return (workers.start_kafka if self._delivery == "kafka" else workers.start_pull)(self._env, self._log)
