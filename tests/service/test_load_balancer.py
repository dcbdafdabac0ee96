"""The load balancer of fault runs leaves no connection open, whenever a run ends."""

from __future__ import annotations

import contextlib
import gc
import socket
import sys
import time
from urllib.parse import urlsplit

import pytest

from tests.fault.event_loop import Loop
from tests.fault.load_balancer import LoadBalancer


async def _started() -> LoadBalancer:
    balancer = LoadBalancer()
    await balancer.start()
    return balancer


@pytest.mark.parametrize("wait_s", [0.0, 0.2], ids=["accepted this moment", "waiting for a worker"])
@pytest.mark.filterwarnings("error")
def test_connections_without_a_worker_are_closed_at_the_end(wait_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    complaints: list[object] = []
    with Loop() as loop:
        balancer = loop.run(_started())
        address = urlsplit(balancer.url)
        assert address.port
        callers = [socket.create_connection((str(address.hostname), address.port), 5) for _ in range(5)]
        time.sleep(wait_s)
        loop.run(balancer.stop())
    monkeypatch.setattr(sys, "unraisablehook", lambda seen: complaints.append(seen.exc_value))
    try:
        for caller in callers:
            caller.settimeout(5)
            with contextlib.suppress(ConnectionResetError):  # it was in the queue of the socket that listens
                assert caller.recv(1) == b""
    finally:
        for caller in callers:
            caller.close()
    del balancer
    gc.collect()
    assert complaints == []
