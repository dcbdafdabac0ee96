"""The judge of a fault run: each kind of fault alone fails the run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.fault.journal import Verdict
from tests.fault.judge import LONG, faults
from tests.fault.plan import FaultCounts, Plan

PLAN = Plan(requests=LONG, between=2, doomed=3, response_store=True)
GOOD = Verdict(requests=LONG, answered=LONG, errors=9, dead=3, lost=0, conflicting=0, duplicates=50, wrong=0, unequal=0)


def counted(**counts: int) -> FaultCounts:
    """The counts of a good run, except for `counts`."""
    made = FaultCounts(PLAN)
    for name, count in {"between": 2, "kills": 5, "broker": 1, **counts}.items():
        for _ in range(count):
            made.count(name)
    return made


def test_a_good_run_passes() -> None:
    assert faults(PLAN, GOOD, counted()) == []


@pytest.mark.parametrize(
    ("found", "counts", "expected"),
    [
        ({"lost": 1}, {}, "lost=1"),
        ({"conflicting": 1}, {}, "conflicting=1"),
        ({"wrong": 1}, {}, "wrong=1"),
        ({"requests": LONG - 1}, {}, "requests=999"),
        ({"dead": 4}, {}, "dead=4"),
        ({"unequal": 1}, {}, "unequal=1"),
        ({"duplicates": 0}, {}, "no answer came twice"),
        ({}, {"unasked": 1}, "died_unasked=1"),
        ({}, {"between": 1}, "between_publish_and_ack=1"),
        ({}, {"broker": 0}, "the broker was never killed"),
    ],
)
def test_each_kind_of_fault_fails_the_run(found: dict[str, Any], counts: dict[str, int], expected: str) -> None:
    (words,) = faults(PLAN, replace(GOOD, **found), counted(**counts))
    assert words.startswith(expected)


@pytest.mark.parametrize(("swaps", "models"), [(1, 2), (5, 1)])
def test_a_run_with_swaps_needs_answers_of_both_models(swaps: int, models: int) -> None:
    plan = replace(PLAN, swap_every_s=20.0)
    assert faults(plan, replace(GOOD, models=2), counted(swaps=2)) == []
    (words,) = faults(plan, replace(GOOD, models=models), counted(swaps=swaps))
    assert words.startswith(f"swaps={swaps} models={models}")


def test_a_run_with_transactions_allows_no_copy() -> None:
    plan = replace(PLAN, backend="kafka", between=0, transactions=True, response_store=False)
    assert faults(plan, replace(GOOD, duplicates=0), counted()) == []
    assert faults(plan, GOOD, counted()) == ["doubled=50 with transactions"]
    moving = replace(plan, rebalance_every_s=5.0)
    assert faults(moving, replace(GOOD, duplicates=0), counted()) == ["no worker left and came back"]


def test_faults_outside_the_plan_are_not_required() -> None:
    calm = replace(PLAN, broker_every_s=0.0, fault_plan=False, response_store=False)
    assert faults(calm, replace(GOOD, duplicates=0, unequal=7), counted(broker=0)) == []
    short = replace(PLAN, requests=LONG - 1)
    assert faults(short, replace(GOOD, requests=LONG - 1, duplicates=0), counted(broker=0)) == []
