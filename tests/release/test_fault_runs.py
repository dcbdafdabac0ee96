"""Short runs of the kill test, on both backends; `make fault` is the long form."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from infra.local import kafka as kafka_broker
from infra.local.google import NoEmulator, find
from tests.conftest import absent
from tests.fault import kafka
from tests.fault.plan import Plan
from tests.fault.run import run

SHORT = Plan(requests=100, between=2, kill_every_s=0.0, broker_every_s=4.0, doomed=0, quiet_s=60.0, settle_s=1.0)
"""No timed kills: messages of a killed pull worker are redelivered only after 20 s."""


@pytest.mark.parametrize(
    "plan",
    [
        pytest.param(replace(SHORT, delivery="pull", response_store=True), id="pull-embedded-response store"),
        pytest.param(replace(SHORT, delivery="pull", workers=1, processes=2), id="pull-embedded-processes"),
        pytest.param(
            replace(SHORT, delivery="push", backend="google", fault_plan=False, kill_every_s=2.0, broker_every_s=0.0),
            id="push-google",
        ),
    ],
)
def test_nothing_is_lost_and_nothing_conflicts(plan: Plan, tmp_path: Path) -> None:
    if plan.backend == "google":
        try:
            find(1)
        except NoEmulator as exc:
            absent(str(exc))
    verdict, counts = run(plan, tmp_path)
    assert (verdict.requests, verdict.answered) == (plan.requests, plan.requests)
    assert (verdict.lost, verdict.conflicting, verdict.wrong, verdict.dead, counts.unasked) == (0, 0, 0, 0, 0)
    assert counts.enough(), f"{counts.between} of {plan.between} kills between publish and ack"
    if plan.response_store:
        assert verdict.unequal == 0
    if plan.processes > 1:
        assert (tmp_path / "worker-0.log").read_text().count('"worker ready"') == plan.processes


@pytest.mark.parametrize("transactions", [False, True], ids=["kafka", "kafka-transactions"])
def test_nothing_is_lost_on_kafka(transactions: bool, tmp_path: Path) -> None:
    try:
        kafka_broker.find()
    except kafka_broker.NoKafka as exc:
        absent(str(exc))
    plan = replace(
        SHORT,
        delivery="kafka",
        backend="kafka",
        between=0,
        kill_each=30,
        rebalance_every_s=4.0,
        broker_every_s=0.0,
        transactions=transactions,
    )
    verdict, counts = kafka.run(plan, tmp_path)
    assert (verdict.requests, verdict.answered) == (plan.requests, plan.requests)
    assert (verdict.lost, verdict.conflicting, verdict.wrong, verdict.dead, counts.unasked) == (0, 0, 0, 0, 0)
    assert counts.kills  # fast workers answer the rest while one is killed
    if transactions:
        assert verdict.duplicates == 0
