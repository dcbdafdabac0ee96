"""The figures of the last minutes: the same calculation as that of `predictions report`, on the newest rows."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from client.report.summary import PERCENTILES, percentiles, summarize
from client.results.record import Record
from client.web.live_drift import drift_figures
from client.web.references import References

WINDOW_S = 300.0
"""Seconds that the figures cover."""

STEP_S = 5.0
"""Seconds of one bar of the throughput."""

_DRIFT_STEP_S = 30.0
"""Seconds of one bar of the drift, which needs more images than the others."""

_MAX_RECORDS = 20_000
"""Rows in memory. With more in the window, the oldest are left out."""


class Live:
    """The rows that were answered in the last WINDOW_S. All methods are thread-safe."""

    def __init__(self, references: References) -> None:
        self._references = references
        self._changing = threading.Lock()
        self._answered: dict[tuple[str, int], tuple[float, Record]] = {}

    def take(self, job: str, number: int, record: Record) -> None:
        """Take a row that changed. It counts once, and while it has a response."""
        row, record = (job, number), replace(record, features="")  # kilobytes, which no figure needs
        is_answered = record.status in ("ok", "error") and record.client_ms is not None
        with self._changing:
            if row in self._answered and self._answered[row][1] == record:
                return
            self._answered.pop(row, None)
            if is_answered:
                self._answered[row] = time.time(), record
            if len(self._answered) > _MAX_RECORDS:
                del self._answered[next(iter(self._answered))]

    def figures(self) -> dict[str, Any]:
        """Return the figures as JSON. Times are milliseconds, `throughput` images in each step of `step_s` seconds.

        `refused`: those of them with an error. `client_ms`: the percentiles of each step, from sending to receiving,
        None for one without an image. `drift`: that of each model, see `drift_figures`.
        """
        now = time.time()
        with self._changing:
            for row in list(self._passed(now)):
                del self._answered[row]
            answered = list(self._answered.values())
        records = [record for _, record in answered]
        steps = _in_steps(answered, now, STEP_S)
        summary = summarize(records)
        return {
            "window_s": WINDOW_S,
            "step_s": STEP_S,
            "throughput": [len(step) for step in steps],
            "refused": [sum(record.status == "error" for record in step) for step in steps],
            "client_ms": [percentiles(each.client_ms or 0.0 for each in step) if step else None for step in steps],
            "outcomes": summary.statuses,
            "errors": summary.errors,
            "labels": summary.labels,
            "percentiles": PERCENTILES,
            "latency": summary.percentiles,
            "drift_step_s": _DRIFT_STEP_S,
            "drift": drift_figures(records, _in_steps(answered, now, _DRIFT_STEP_S), self._references),
        }

    def _passed(self, now: float) -> Iterator[tuple[str, int]]:
        for row, (at, _) in self._answered.items():
            if at >= now - WINDOW_S:
                return
            yield row


def _in_steps(answered: Sequence[tuple[float, Record]], now: float, step_s: float) -> list[list[Record]]:
    """Return the rows of each step of the window, the oldest step first."""
    steps: list[list[Record]] = [[] for _ in range(int(WINDOW_S / step_s))]
    for at, record in answered:
        steps[-1 - min(len(steps) - 1, max(0, int((now - at) / step_s)))].append(record)
    return steps
