"""The cost of a pool that follows its backlog (`scale` in infra/): a schedule, and a job that decides."""

from __future__ import annotations

from client.plan.cost import MONTH_S, Line
from client.plan.prices import Prices

EVERY_MINUTES = 5
"""Minutes between two decisions (infra/scale.tf)."""

_CPU, _GIB = 1, 0.5
"""vCPUs and GiB of the job (infra/scale.tf)."""


def scaling(prices: Prices, every_minutes: float = EVERY_MINUTES) -> list[Line]:
    """Return the lines of the bill that `scale` adds. The instances themselves are not among them."""
    billed_s = MONTH_S / (60 * every_minutes) * prices.behaviour.job_billed_s
    quantities = {"scheduler_job": 1.0, "job_cpu": billed_s * _CPU, "job_memory": billed_s * _GIB}
    return [
        Line(name, quantity * prices.price[name].usd, min(quantity, prices.price[name].free) * prices.price[name].usd)
        for name, quantity in quantities.items()
    ]
