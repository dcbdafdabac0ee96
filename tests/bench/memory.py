"""Memory of the worker while it is under load, and whether it grows over very many requests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tests.bench.parts import pss_mb
from tests.bench.rig import Rig, entry_points, rig
from tests.bench.rows import Row, row
from tests.bench.subjects import Subject

_LOADS = 20
_SETTLED = 5
"""Loads after which caches and pools have their size."""

_PER = 100_000


def memory(subjects: Sequence[Subject], requests: int) -> list[Row]:
    """The most that the worker's processes held, and the slope of a straight line through what they held."""
    rows = []
    for subject in subjects:
        files = subject.load(requests // _LOADS)
        for engine in subject.engines:
            for entry_point in entry_points():
                with rig(entry_point, {"ARTIFACT": str(subject.artifact), "ENGINE": engine}) as tested:
                    sizes = [_at_load(tested, files) for _ in range(_LOADS)]
                done = np.arange(_LOADS) * len(files) / _PER
                slope = np.polyfit(done[_SETTLED:], sizes[_SETTLED:], 1)[0]
                name = f"memory.{subject.name}.{entry_point}"
                how = f"PSS, {_LOADS} times in {_LOADS * len(files):,} requests"
                rows.append(row(f"{name}.at load.{engine}", [max(sizes)], "MB", how=how))
                rows.append(row(f"{name}.growth.{engine}", [slope], f"MB per {_PER:,} requests", how=how))
    return rows


def _at_load(tested: Rig, files: Sequence[bytes]) -> float:
    """MB when half of these are answered; returns when all are."""
    ids = [tested.line.send(image) for image in files]
    tested.line.wait(set(ids[: len(ids) // 2]))
    size = pss_mb(tested.pid)
    tested.line.wait(set(ids))
    return size
