"""Decides whether a fault run failed: a broken promise, or planned faults that did not happen."""

from __future__ import annotations

from collections.abc import Iterator

from tests.fault.journal import Verdict
from tests.fault.plan import FaultCounts, Plan

LONG = 1000
"""Requests of a run in which every fault meets some; fewer may be answered before the broker is first killed."""


def faults(plan: Plan, verdict: Verdict, counts: FaultCounts) -> list[str]:
    """A word for each thing that is not as it must be; none: the run is good."""
    return list(_faults(plan, verdict, counts))


def _faults(plan: Plan, verdict: Verdict, counts: FaultCounts) -> Iterator[str]:
    for name in ("lost", "conflicting", "wrong"):
        if count := getattr(verdict, name):
            yield f"{name}={count}"
    if verdict.requests != plan.requests:
        yield f"requests={verdict.requests}, not {plan.requests}"
    if verdict.dead > plan.doomed:
        yield f"dead={verdict.dead}, of which {plan.doomed} were to be"
    if plan.response_store and verdict.unequal:
        yield f"unequal={verdict.unequal} with a response store"
    if counts.unasked:
        yield f"died_unasked={counts.unasked}"
    if not counts.enough():
        yield f"between_publish_and_ack={counts.between}, not {plan.between}"
    if plan.requests >= LONG and plan.broker_every_s and not counts.broker:
        yield "the broker was never killed"
    if plan.swap_every_s and (counts.swaps < 2 or verdict.models < 2):
        yield f"swaps={counts.swaps} models={verdict.models}, not two of each"
    if plan.transactions and verdict.duplicates:
        yield f"doubled={verdict.duplicates} with transactions"
    if plan.requests >= LONG and plan.rebalance_every_s and not counts.rebalances:
        yield "no worker left and came back"
    if plan.requests >= LONG and plan.fault_plan and plan.backend != "kafka" and not verdict.duplicates:
        yield "no answer came twice, on a fault plan"
