"""The inputs of `predictions plan`: CPU time for an image and until the first answer, and memory.

CPU time, not the clock's: a vCPU of the cloud is the worker's alone, these are shared with the client and the broker.
"""

from __future__ import annotations

from collections.abc import Sequence

from tests.bench.parts import cpu_seconds, pss_mb
from tests.bench.rig import ENTRY_POINTS, rig
from tests.bench.rows import Row, row

_UNITS = {"throughput": "images/s", "cold_start": "s", "memory": "MB"}


def capacity(files: list[bytes], engines: Sequence[str], runs: int) -> list[Row]:
    """Rows of medians over `runs`, by entry point and engine; the machine is one CPU."""
    taken: dict[str, list[float]] = {}
    for _ in range(runs):
        for engine in engines:
            for entry_point in ENTRY_POINTS:
                for what, value in _once(entry_point, engine, files).items():
                    taken.setdefault(f"{what}.{entry_point}.{engine}", []).append(value)
    how = "CPU time: on a dedicated vCPU"
    return [row(name, values, _UNITS[name.split(".")[0]], cpus=1, how=how) for name, values in taken.items()]


def _once(entry_point: str, engine: str, files: list[bytes]) -> dict[str, float]:
    with rig(entry_point, {"ENGINE": engine}) as tested:
        tested.answer(files[:1])
        first_s = cpu_seconds(tested.pid)
        tested.warm(files)
        before_s = cpu_seconds(tested.pid)
        tested.answer(files)
        taken_s = cpu_seconds(tested.pid) - before_s
        return {"throughput": len(files) / taken_s, "cold_start": first_s, "memory": pss_mb(tested.pid)}
