"""Sizes a deployment for a workload and a measured worker: instance size, number of instances and deadlines."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from client.gcp import UsageError
from client.plan.performance import Delivery, Measured
from client.plan.prices import Behaviour
from client.plan.workload import Workload
from functions.settings import Settings

CPUS = {1: 4, 2: 8, 4: 16, 6: 24, 8: 32}
"""vCPUs of an instance, and the most GiB that Cloud Run allows with them ("Configure CPU limits", Cloud Run)."""

MEMORY_MIB = (512, 1024, 2048, 4096, 8192, 16384, 24576, 32768)
IN_FLIGHT_BYTES = 500_000_000
"""Bytes that the images in flight in one instance may take, with their copies. It limits the concurrency."""

MAX_INSTANCES = 100
"""Number of instances above which a larger instance is chosen: Cloud Run's default limit."""

DEADLINES = ((55, 60), (590, 600))
"""Seconds of the request timeout, and of Pub/Sub's ack deadline above it: the deployed ones, and the maximum."""

LEASE_S = 20
"""Seconds of a pull worker's lease, which it extends as long as it runs (functions/gcp/streaming_pull.py)."""

_WORKER = Settings(project="any")
"""The worker's default settings."""

SPARE = 1.5
"""Maximum instances divided by those that the peak needs: the rest works off the images that waited during starts."""


@dataclass(frozen=True, slots=True)
class Size:
    """A deployment's size. `needed` instances serve the peak, and one of them answers `per_s` images per second.

    `hold_s` is the time that a request occupies its slot; `start_s` the time from requesting an instance to its first
    answer. `deadlines` is None when an image takes too long for a push.
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


def sized(load: Workload, measured: Measured, delivery: Delivery, behaviour: Behaviour, warm: int = 0) -> Size:
    """Return the smallest instance of which MAX_INSTANCES are enough, else the largest.

    The number of pull instances is fixed; push instances scale, and `warm` of them always run. Throughput is assumed to
    grow in proportion to the vCPUs.
    """
    hold_s = 1 / measured.per_s + behaviour.publish_s + (0 if load.carrier == "message" else behaviour.fetch_s)
    start_s = behaviour.placement_s + measured.cold_start_s
    held_bytes = load.image_bytes * (
        4 if delivery == "push" and load.carrier == "message" else 1
    )  # base64 and JSON too
    for cpu, most_gib in CPUS.items():
        per_s = measured.per_s * cpu
        needed = ceil(_needed_per_s(load, delivery, behaviour) / per_s)
        concurrency = min(max(_WORKER.max_batch_size, ceil(per_s * hold_s)), int(IN_FLIGHT_BYTES / held_bytes), 1000)
        memory_mib = _memory(measured, concurrency * held_bytes, cpu)
        if needed <= MAX_INSTANCES and memory_mib <= most_gib * 1024:
            break
    few, many = (needed, needed) if delivery == "pull" else (min(warm, needed), max(2, ceil(needed * SPARE)))
    slowest = concurrency / per_s + hold_s + start_s
    deadlines = next((pair for pair in DEADLINES if 2 * slowest <= pair[0]), None)
    return Size(delivery, cpu, memory_mib, concurrency, needed, few, many, deadlines, per_s, hold_s, start_s)


def _needed_per_s(load: Workload, delivery: Delivery, behaviour: Behaviour) -> float:
    if delivery == "push":
        return load.peak_per_s / behaviour.utilisation
    # All instances of a pool run, and images above their rate wait. The last image of a burst waits longest, so its
    # wait must be within the latency target.
    allowed_s = max(0.0, load.latency_s - 2 * behaviour.hop_s)
    enough = load.peak_per_s * load.burst_s / (load.burst_s + allowed_s)
    return max(enough, load.mean_per_s) / behaviour.pool_utilisation


def _memory(measured: Measured, images_bytes: float, cpu: int) -> int:
    """Return MiB: the measured memory, the decoding budget (DECODE_BYTES) and images in flight, and a quarter more."""
    needed = 1.25 * (measured.memory_mb * 1e6 + _WORKER.decode_bytes + images_bytes)
    for mib in MEMORY_MIB:
        if mib * 2**20 >= needed and mib >= 512 * cpu:  # Cloud Run requires half a GiB for each vCPU
            return mib
    most = MEMORY_MIB[-1] // 1024
    raise UsageError(
        f"memory of the worker is {measured.memory_mb:,.0f} MB; Cloud Run has instances of at most {most} GiB"
    )
