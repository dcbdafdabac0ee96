"""How large, how many and with which deadlines: from a load and a measured worker to what is deployed."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from client.gcp import UsageError
from client.plan.load import Load
from client.plan.prices import Behaviour
from client.plan.worker import Delivery, Measured
from functions.settings import Settings

CPUS = {1: 4, 2: 8, 4: 16, 6: 24, 8: 32}
"""vCPUs of an instance, and the GiB it may have with them ("Configure CPU limits", Cloud Run)."""

MEMORY_MIB = (512, 1024, 2048, 4096, 8192, 16384, 24576, 32768)
UNDER_WAY_BYTES = 500_000_000
"""What the images under way in one instance may take, with their copies."""

MANY = 100
"""Instances beyond which larger ones are taken: Cloud Run's own default limit."""

DEADLINES = ((55, 60), (590, 600))
"""Seconds for one request, and Pub/Sub's ack deadline above it: as deployed, and the most that there is."""

LEASE_S = 20
"""A pull worker's, extended for as long as it lives (functions/entrypoints/pull_worker.py)."""

_WORKER = Settings(project="any")
"""As it is where nobody sets anything."""

SPARE = 1.5
"""Instances beyond those of the peak, to work off what waited while the first ones started."""


@dataclass(frozen=True, slots=True)
class Size:
    """What is deployed. `needed` instances serve the peak; `per_s` is what one of them answers, `hold_s` how long a
    request keeps its slot, `start_s` from the wish for an instance to its first answer. No deadlines: too slow to push.
    """

    delivery: Delivery
    cpu: int
    memory_mib: int
    concurrency: int
    needed: int
    min_instances: int
    max_instances: int
    deadlines: tuple[int, int] | None
    per_s: float
    hold_s: float
    start_s: float


def sized(load: Load, measured: Measured, delivery: Delivery, behaviour: Behaviour, warm: int = 0) -> Size:
    """The smallest instances of which MANY are enough, else the largest; a pool's number is fixed, a push's grows.

    `warm` push instances never sleep. vCPUs beyond the measured ones are taken to add up.
    """
    hold_s = 1 / measured.per_s + behaviour.publish_s + (0 if load.carrier == "message" else behaviour.fetch_s)
    start_s = behaviour.placement_s + measured.cold_start_s
    held_bytes = load.image_bytes * (4 if delivery == "push" and load.carrier == "message" else 1)  # base64 in JSON too
    for cpu, most_gib in CPUS.items():
        per_s = measured.per_s * cpu
        needed = ceil(_wanted_per_s(load, delivery, behaviour) / per_s)
        concurrency = min(max(_WORKER.max_batch_size, ceil(per_s * hold_s)), int(UNDER_WAY_BYTES / held_bytes), 1000)
        memory_mib = _memory(measured, concurrency * held_bytes, cpu)
        if needed <= MANY and memory_mib <= most_gib * 1024:
            break
    few, many = (needed, needed) if delivery == "pull" else (min(warm, needed), max(2, ceil(needed * SPARE)))
    slowest = concurrency / per_s + hold_s + start_s
    deadlines = next((pair for pair in DEADLINES if 2 * slowest <= pair[0]), None)
    return Size(delivery, cpu, memory_mib, concurrency, needed, few, many, deadlines, per_s, hold_s, start_s)


def _wanted_per_s(load: Load, delivery: Delivery, behaviour: Behaviour) -> float:
    if delivery == "push":
        return load.peak_per_s / behaviour.utilisation
    # Of a pool all may run; what comes faster waits. The last of a burst waits longest: within the wish, then.
    wish = max(0.0, load.latency_s - 2 * behaviour.hop_s)
    enough = load.peak_per_s * load.burst_s / (load.burst_s + wish)
    return max(enough, load.mean_per_s) / behaviour.pool_utilisation


def _memory(measured: Measured, images_bytes: float, cpu: int) -> int:
    """MiB: what was measured, what decoding may take (DECODE_BYTES), the images under way, a quarter to spare."""
    needed = 1.25 * (measured.memory_mb * 1e6 + _WORKER.decode_bytes + images_bytes)
    for mib in MEMORY_MIB:
        if mib * 2**20 >= needed and mib >= 512 * cpu:  # Cloud Run asks for half a GiB a vCPU from four on
            return mib
    most = MEMORY_MIB[-1] // 1024
    raise UsageError(
        f"memory of the worker is {measured.memory_mb:,.0f} MB; Cloud Run has instances of at most {most} GiB"
    )
