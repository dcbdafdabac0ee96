"""The broker of a fault run lives until the run stops it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from infra.local.ports import listens
from tests.fault.broker import Embedded

_HEARS_S = 2.0
"""Long enough to hear of the end of a thread, and to end."""


def test_a_restarted_broker_outlives_the_thread_that_restarted_it(tmp_path: Path) -> None:
    broker = Embedded(tmp_path, None)
    try:
        thread = threading.Thread(target=broker.restart)
        thread.start()
        thread.join()
        until = time.monotonic() + _HEARS_S
        while time.monotonic() < until:
            assert listens(int(broker.host.split(":")[1]))
            time.sleep(0.02)
    finally:
        broker.stop()
