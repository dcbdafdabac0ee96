"""What `python -m client plan` reckons with: CPU time for an image and until the first answer, and memory.

CPU time, not the clock's: a vCPU of the cloud is the worker's alone, these are shared with the client and the broker.
"""

from __future__ import annotations

import os
from pathlib import Path

from infra.local.twin import Twin
from tests.bench.load import publish, push_to
from tests.bench.parts import PULL_COMMAND, Ear, descendants, environment, free_port, process, pss_mb, push_command
from tests.bench.rows import Row, row

_TICKS = os.sysconf("SC_CLK_TCK")
_UNITS = {"throughput": "images/s", "cold_start": "s", "memory": "MB"}
_WARM_UP = 100


def capacity(files: list[bytes], engines: list[str], runs: int) -> list[Row]:
    """Rows of medians over `runs`, by door and engine; the machine is one CPU."""
    taken: dict[str, list[float]] = {}
    for _ in range(runs):
        for engine in engines:
            for door in ("push", "pull"):
                for what, value in _once(door, engine, files).items():
                    taken.setdefault(f"{what}.{door}.{engine}", []).append(value)
    how = "CPU time: what one vCPU of one's own would take"
    return [row(name, values, _UNITS[name.split(".")[0]], cpus=1, how=how) for name, values in taken.items()]


def _once(door: str, engine: str, files: list[bytes]) -> dict[str, float]:
    with Twin(worker=None) as twin, environment(twin.env):
        project, port = twin.env["GOOGLE_CLOUD_PROJECT"], free_port()
        ear = Ear(project)
        try:
            command = push_command(port) if door == "push" else PULL_COMMAND
            with process(command, {**twin.env, "ENGINE": engine}) as worker:
                if door == "push":
                    push_to(project, port)
                ear.wait(publish(project, files[:1]))
                first_s = _cpu_s(worker.pid)
                ear.wait(publish(project, files[:_WARM_UP]))
                before_s = _cpu_s(worker.pid)
                ear.wait(publish(project, files))
                taken_s = _cpu_s(worker.pid) - before_s
                return {"throughput": len(files) / taken_s, "cold_start": first_s, "memory": pss_mb(worker.pid)}
        finally:
            ear.close()


def _cpu_s(pid: int) -> float:
    """Seconds of user and system time of a process and its descendants (Linux)."""
    ticks = 0
    for each in descendants(pid):
        user, system = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()[11:13]
        ticks += int(user) + int(system)
    return ticks / _TICKS
