"""A Storage server that stops answering, like a hanging network or service."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from infra.local.fault_plan import FaultInjector, FaultPlan
from infra.local.storage.server import StorageServer


class _Silence(FaultInjector):
    """Delays every reply for longer than any test."""

    def __init__(self) -> None:
        super().__init__(FaultPlan(slow_reads=1.0, slow_s=60.0), "storage")
        self.asked = threading.Event()

    def happens(self, kind: str) -> bool:
        if kind == "slow_reads":
            self.asked.set()
        return super().happens(kind)


@contextmanager
def stalled(server: StorageServer) -> Iterator[threading.Event]:
    """No read is answered until the block ends; the event is set at the first read."""
    before, server.faults = server.faults, _Silence()
    try:
        yield server.faults.asked
    finally:
        server.faults = before
