"""The inputs of `predictions plan`: CPU time for an image and until the first answer, and memory.

CPU time, not the clock's: a vCPU of the cloud is the worker's alone, these are shared with the client and the broker.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.bench.parts import descendants, pss_mb
from tests.bench.rig import ENTRY_POINTS, rig
from tests.bench.rows import Row, row

_TICKS = os.sysconf("SC_CLK_TCK")
_UNITS = {"throughput": "images/s", "cold_start": "s", "memory": "MB"}


def capacity(files: list[bytes], engines: list[str], runs: int) -> list[Row]:
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
        first_s = _cpu_s(tested.pid)
        tested.warm(files)
        before_s = _cpu_s(tested.pid)
        tested.answer(files)
        taken_s = _cpu_s(tested.pid) - before_s
        return {"throughput": len(files) / taken_s, "cold_start": first_s, "memory": pss_mb(tested.pid)}


def _cpu_s(pid: int) -> float:
    """Seconds of user and system time of a process and its descendants (Linux)."""
    ticks = 0
    for each in descendants(pid):
        user, system = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()[11:13]
        ticks += int(user) + int(system)
    return ticks / _TICKS
