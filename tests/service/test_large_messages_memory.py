"""The twin's Pub/Sub server uses the memory of large messages again: cleared pages take longer than the messages."""

from __future__ import annotations

import os
from pathlib import Path

from tests.bench.brokers import OURS, broker
from tests.bench.flood import flood

SIZE, COUNT = 100_000, 400


def page_faults(pid: int) -> int:
    """The pages that the system cleared for a process (minflt, proc(5))."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])


def test_a_large_message_needs_pages_for_little_more_than_itself() -> None:
    faults = list[int]()
    with broker(OURS) as (host, pid):
        flood(host, SIZE, COUNT, mark=lambda: faults.append(page_faults(pid)))
    pages = (faults[-1] - faults[0]) / (COUNT - COUNT // 10)
    assert pages < 2.5 * SIZE / os.sysconf("SC_PAGE_SIZE")  # 1.1 times its size; 3.7 with the defaults of glibc
