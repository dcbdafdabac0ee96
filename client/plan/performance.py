"""Measured performance of the workers that the plan compares: this one, and the same pipeline with TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from client.gcp import UsageError
from client.plan.measurements import UNITS, Row

Delivery = Literal["push", "pull"]
DELIVERIES: tuple[Delivery, ...] = ("push", "pull")
TITLES = {"litert": "this worker", "savedmodel": "with TensorFlow"}
"""The title of each engine, ours first."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A worker's performance with one delivery: images/s of one vCPU, seconds to the first response, MB of memory."""

    per_s: float
    cold_start_s: float
    memory_mb: float


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker with one engine, measured with each delivery."""

    engine: str
    deliveries: Mapping[Delivery, Measured]

    @property
    def title(self) -> str:
        return TITLES[self.engine]


def workers(rows: Mapping[str, Row]) -> list[Worker]:
    """Return the measured workers, ours first. TensorFlow's may be absent. Raises UsageError for missing rows."""
    found = [engine for engine in TITLES if engine == "litert" or any(name.endswith(f".{engine}") for name in rows)]
    needed = [f"{what}.{delivery}.{engine}" for engine in found for delivery in DELIVERIES for what in UNITS]
    if missing := [name for name in needed if name not in rows]:
        raise UsageError(f"--bench holds no rows named {', '.join(missing)}; python -m tests.bench plan measures them")
    return [
        Worker(engine, {delivery: _measured(rows, delivery, engine) for delivery in DELIVERIES}) for engine in found
    ]


def _measured(rows: Mapping[str, Row], delivery: Delivery, engine: str) -> Measured:
    throughput, cold_start, memory = (rows[f"{what}.{delivery}.{engine}"] for what in UNITS)
    # The client and the broker used these CPUs too, unless the CPU time was measured per process. So this is a minimum.
    return Measured(throughput.value / throughput.cpus, cold_start.value, memory.value)
