"""The monthly cost, line by line: the quantities of a workload on a deployment, times the price list."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import exp

from client.plan.prices import Behaviour, Prices
from client.plan.sizing import Size
from client.plan.workload import DAY_S, MONTH_DAYS, Workload

MONTH_S = MONTH_DAYS * DAY_S
GIB, MIB = 2**30, 2**20

LEAST_BILLED_S = 0.1
"""Seconds of the shortest time that Cloud Run bills: it rounds up to 100 ms ("Pricing", Cloud Run)."""

LEAST_BILLED_BYTES = 1000
"""Bytes of the smallest publish, push or pull that Pub/Sub bills ("Pricing", Pub/Sub). The plan counts one call for
each message."""

RESPONSE_BYTES = 900
"""Bytes of a response with five labels: body and attributes."""

REQUEST_BYTES = {"message": 250, "reference": 400, "upload": 1500}
"""Bytes of a request without the image: attributes, a reference, or the notification of an upload."""

RETAINED_DAYS = 1
"""Days that both topics keep messages for replay (infra/topology.yaml)."""

KEPT_DAYS = {"message": 0, "reference": 8 + 7, "upload": 30 + 7}
"""Days that an image is stored: until the bucket's lifecycle rule deletes it (infra/topology.yaml), and a week more by
Cloud Storage's soft delete."""

STORED_DAYS = 8 + 7
"""Days that the response store keeps a response: until its lifecycle rule deletes it, and a week of soft delete."""

SAMPLE_BYTES, DISTRIBUTION_BYTES = 8, 80
"""Bytes that Cloud Monitoring bills for a sample of a count, and of a distribution. A time series has at most one a
minute."""

STAGES = {"message": 4, "reference": 5, "upload": 5}
"""Stages whose milliseconds are counted (infra/metrics.tf); an image inside its message is not fetched."""

ALERTS = 6
"""Alerts of a deployment without a nightly job and an HTTP endpoint (infra/alerts.tf), of one condition each. One of
them needs score metrics."""

ALERT_POINTS = 12
"""Values that the queries of these alerts return each minute: one for each series of each comparison."""

EGRESS = "Egress (all in one region)"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the bill in USD a month: `gross` without free tiers, and the amount that the free tier covers."""

    name: str
    gross: float
    free: float


def monthly(load: Workload, size: Size, prices: Prices) -> list[Line]:
    """Return the lines of the bill; a line of an unused service has the amount 0."""
    lines: dict[str, Line] = {}
    for name, price_name, quantity in _quantities(load, size, prices.behaviour):
        price, before = prices.price[price_name], lines.get(name, Line(name, 0, 0))
        gross, free = quantity * price.usd, min(quantity, price.free) * price.usd
        lines[name] = Line(name, before.gross + gross, before.free + free)
    return [*lines.values(), Line(EGRESS, 0, 0)]


def total(lines: Sequence[Line], *, free_tiers: bool = True) -> float:
    """Return the sum in USD a month."""
    return sum(line.gross - (line.free if free_tiers else 0) for line in lines)


def _quantities(load: Workload, size: Size, behaviour: Behaviour) -> Iterator[tuple[str, str, float]]:
    """Yield each line's name, the name of its price, and its monthly quantity."""
    images, gib, together = load.images_per_month, size.memory_mib / 1024, load.images_per_message
    if size.delivery == "push":
        active_s = _active_s(load, size)
        yield "Cloud Run CPU", "run_cpu", active_s * size.cpu
        yield "Cloud Run memory", "run_memory", active_s * gib
        yield "Cloud Run requests", "run_requests", images / together
        idle_s = size.min_instances * (MONTH_S - load.busy_s_per_month)
        yield "Cloud Run, kept warm", "run_idle_cpu", idle_s * size.cpu
        yield "Cloud Run, kept warm", "run_idle_memory", idle_s * gib
    else:
        yield "Cloud Run CPU", "pool_cpu", size.needed * MONTH_S * size.cpu
        yield "Cloud Run memory", "pool_memory", size.needed * MONTH_S * gib
    inline = load.image_bytes if load.carrier == "message" else 0
    request = REQUEST_BYTES[load.carrier] + (inline if together == 1 else together * load.line_bytes)
    billed = max(LEAST_BILLED_BYTES, request) / together + max(LEAST_BILLED_BYTES, RESPONSE_BYTES)
    yield "Pub/Sub throughput", "pubsub_throughput", images * 2 * billed / GIB  # published and delivered
    retained = load.images_per_day * RETAINED_DAYS * (request / together + RESPONSE_BYTES)
    yield "Pub/Sub, kept for replay", "pubsub_retention", retained / GIB
    if load.carrier != "message":
        upload = load.carrier == "upload"
        yield "Storage operations", "storage_writes", images
        yield (
            "Storage operations",
            "storage_reads",
            images * (2 if upload else 1),
        )  # its notification is one more operation
        kept = load.images_per_day * KEPT_DAYS[load.carrier] * load.image_bytes
        yield "Storage, images kept", "storage_kept", kept / GIB
    logged = behaviour.worker_log_bytes + (behaviour.request_log_bytes / together if size.delivery == "push" else 0)
    yield "Logging", "logging", images * logged / GIB
    if load.response_store:
        yield "Storage operations", "storage_writes", images
        yield "Storage, responses kept", "storage_kept", load.images_per_day * STORED_DAYS * RESPONSE_BYTES / GIB
    yield "Monitoring, metrics", "metrics", _metric_bytes(load) / MIB
    yield "Monitoring, alerts", "alert_conditions", ALERTS - (not load.labels)
    yield "Monitoring, alerts", "alert_points", ALERT_POINTS * MONTH_S / 60
    if load.bigquery:
        rows = images * max(LEAST_BILLED_BYTES, RESPONSE_BYTES) / GIB
        yield "BigQuery, written", "pubsub_bigquery", rows
        yield "BigQuery, a month's rows", "bigquery_stored", rows


def _metric_bytes(load: Workload) -> float:
    """Return the bytes of the log-based metrics: outcomes, each stage, and two metrics of scores by label.

    Starts of instances are left out, because they are few.
    """
    counts = DISTRIBUTION_BYTES * STAGES[load.carrier] + SAMPLE_BYTES
    return counts * _samples(load, 1) + 2 * DISTRIBUTION_BYTES * _samples(load, load.labels)


def _samples(load: Workload, series: int) -> float:
    """Return the samples of a month when each image belongs to one of `series`, all of them equally likely.

    That is the most that a number of labels can cost. Poisson arrivals, as in _active_s.
    """
    minutes = max(1, load.burst_s / 60) * load.bursts_per_day * MONTH_DAYS
    return series * minutes * (1 - exp(-load.images_per_month / minutes / series)) if series else 0


def _active_s(load: Workload, size: Size) -> float:
    """Return the billed seconds of instances that are billed by request: during requests, and during starts.

    Requests of one instance overlap. With Poisson arrivals at least one runs for 1 - exp(-rate * time) of each second
    (M/G/∞: Takács, Introduction to the Theory of Queues, 1962).
    """
    rate = load.peak_per_s / size.needed / load.images_per_message
    hold_s = size.hold_s + (load.images_per_message - 1) / size.per_s
    busy = 1 - exp(-rate * max(hold_s, LEAST_BILLED_S))
    started = max(0, size.needed - size.min_instances) * size.start_s * load.bursts_per_day * MONTH_DAYS
    return size.needed * load.busy_s_per_month * busy + started
