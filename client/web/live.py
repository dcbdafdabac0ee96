"""The figures of the last minutes: the same calculation as that of `predictions report`, on the newest rows."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any

from client.report.summary import PERCENTILES, percentiles, summarize
from client.results.record import Record

WINDOW_S = 300.0
"""Seconds that the figures cover."""

_STEP_S = 5.0
"""Seconds of one bar of the throughput."""

_MAX_RECORDS = 20_000
"""Rows in memory. With more in the window, the oldest are left out."""


class Live:
    """The rows that were answered in the last WINDOW_S. All methods are thread-safe."""

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._answered: deque[tuple[float, tuple[str, int], Record]] = deque()
        self._rows: set[tuple[str, int]] = set()

    def take(self, job: str, number: int, record: Record) -> None:
        """Take a row that changed. Only one with a response counts, and that once."""
        row = job, number
        with self._changing:
            if record.status in ("ok", "error") and record.client_ms is not None and row not in self._rows:
                self._rows.add(row)
                self._answered.append((time.time(), row, record))
            while len(self._answered) > _MAX_RECORDS:
                self._rows.discard(self._answered.popleft()[1])

    def figures(self) -> dict[str, Any]:
        """Return the figures as JSON. Times are milliseconds, `throughput` images in each step of `step_s` seconds.

        `client_ms`: the percentiles of each step, from sending to receiving; None for one without an image.
        """
        now = time.time()
        with self._changing:
            while self._answered and self._answered[0][0] < now - WINDOW_S:
                self._rows.discard(self._answered.popleft()[1])
            answered = [(at, record) for at, _, record in self._answered]
        steps: list[list[Record]] = [[] for _ in range(int(WINDOW_S / _STEP_S))]
        for at, record in answered:
            steps[-1 - min(len(steps) - 1, max(0, int((now - at) / _STEP_S)))].append(record)
        summary = summarize([record for _, record in answered])
        return {
            "window_s": WINDOW_S,
            "step_s": _STEP_S,
            "throughput": [len(step) for step in steps],
            "client_ms": [percentiles(each.client_ms or 0.0 for each in step) if step else None for step in steps],
            "outcomes": summary.statuses,
            "errors": summary.errors,
            "labels": summary.labels,
            "percentiles": PERCENTILES,
            "latency": summary.percentiles,
        }
