"""The alerts fire, and do not fire, for series as Cloud Monitoring would have them: Prometheus evaluates their queries.

`promtool` of Debian's package prometheus is needed. Google's own engine reads the same language, but metrics reach it
some minutes late.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.check.scenarios import SCENARIOS
from tests.terraform.conftest import EVERY_ALERT, ON_KAFKA, Plan
from tests.terraform.test_monitoring import alerts_of

pytestmark = [
    pytest.mark.optional,
    pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is missing: apt-get install prometheus"),
]

KAFKA, SCALE = "kafka", "scale"
DEPLOYMENTS = {"every alert": EVERY_ALERT, KAFKA: ON_KAFKA, SCALE: SCENARIOS["`scale`"]}
OWN = {KAFKA: {"stuck", "backlog", "dead_letters"}, SCALE: {"scaling"}}
"""The alerts that only the deployment has, or has in another form."""

POOL = {"monitored_resource": "cloud_run_worker_pool", "worker_pool_name": "dev-prediction-pool"}
ENDPOINT = {"monitored_resource": "cloud_run_revision", "service_name": "dev-prediction-endpoint"}
REQUESTS = {"subscription_id": "dev-req_predict-sub"}
DEAD = {"subscription_id": "dev-dead_predict-sub"}

PUBSUB = "pubsub_googleapis_com:subscription_"
OURS = "logging_googleapis_com:user_dev_prediction_"
RUN = "run_googleapis_com:"


@dataclass(frozen=True, slots=True)
class Case:
    """Series by name and labels, and when the alert fires.

    `series`: a number for each minute as promtool writes them; `0+3x60` is 0, 3, 6 and so on. `fires_after`: minutes
    until it fires, None when it does not within `minutes`. `labels`: those of the alert. `deployment`: a key of
    DEPLOYMENTS.
    """

    name: str
    alert: str
    series: dict[str, str]
    fires_after: int | None
    labels: dict[str, str] = field(default_factory=dict)
    deployment: str = "every alert"
    minutes: int = 60


def series(name: str, **labels: str) -> str:
    return f"{name}{{{', '.join(f'{key}={value!r}' for key, value in labels.items())}}}".replace("'", '"')


def pubsub(name: str, **labels: str) -> str:
    return series(PUBSUB + name, monitored_resource="pubsub_subscription", **labels)


def ours(name: str, **labels: str) -> str:
    return series(OURS + name, **POOL, **labels)


def endpoint(name: str, **labels: str) -> str:
    return series(RUN + name, **ENDPOINT, **labels)


def job(result: str, name: str = "dev-prediction-nightly") -> str:
    labels = {"monitored_resource": "cloud_run_job", "job_name": name, "result": result}
    return series(f"{RUN}job_completed_execution_count", **labels)


WAITING, ACKED = pubsub("num_undelivered_messages", **REQUESTS), pubsub("ack_message_count", **REQUESTS)
AGE = pubsub("oldest_unacked_message_age", **REQUESTS)
FAILED, ANSWERED = ours("outcomes", code="unavailable", outcome="acked"), ours("outcomes", code="", outcome="acked")
NACKED = ours("outcomes", code="unavailable", outcome="nacked")
STARTS, LOADS = ours("starts"), ours("ms_load_count")
EXPECTED, SCORES = ours("expected_score_sum", label="Bag"), ours("score_sum", label="Bag")
COMPARED = ours("expected_score_count", label="Bag")
CALLS, REFUSED = endpoint("request_count", response_code="200"), endpoint("request_count", response_code="503")
LAG, REPORTS = ours("kafka_lag_sum", topic="req_predict"), ours("kafka_lag_count", topic="req_predict")
FINISHED = ours("kafka_finished_sum", topic="req_predict")
DECISIONS = job("succeeded", "prediction-scale")
REPORTED = {REPORTS: "0+1x60"}


def latencies(slow: int) -> dict[str, str]:
    """Of a hundred requests a minute, these take 20 s and the others 1 s."""
    counts = {"1000": 100 - slow, "10000": 100 - slow, "20000": 100, "+Inf": 100}
    return {endpoint("request_latencies_bucket", le=le): f"0+{count}x60" for le, count in counts.items()}


CASES = [
    Case("twenty wait, none is acked", "stuck", {WAITING: "20x60", ACKED: "7x60"}, 10, REQUESTS),
    Case("twenty wait, and none was ever acked", "stuck", {WAITING: "20x60"}, 10, REQUESTS),
    Case("twenty wait, others are acked", "stuck", {WAITING: "20x60", ACKED: "0+1x60"}, None),
    Case("ten wait", "stuck", {WAITING: "10x60"}, None),
    Case("they wait for nine minutes", "stuck", {WAITING: "20x9 0x51"}, None),
    Case("a message grows older", "backlog", {AGE: "0+60x60"}, 21, REQUESTS),
    Case("a message is as old as a retry", "backlog", {AGE: "0+60x14 600x46"}, None),
    Case("a dead letter", "dead_letters", {pubsub("num_undelivered_messages", **DEAD): "0x5 1x55"}, 6, DEAD),
    Case("no dead letter", "dead_letters", {pubsub("num_undelivered_messages", **DEAD): "0x60"}, None),
    Case("one in four fails", "errors", {FAILED: "0+3x60", ANSWERED: "0+9x60"}, 9),
    Case("one in forty fails", "errors", {FAILED: "0+3x60", ANSWERED: "0+117x60"}, None),
    Case("one request fails repeatedly", "errors", {FAILED: "0 1 1 2 2 3 3 4 4 5 5 6x50"}, None),
    Case("no model is ever loaded", "failed_starts", {STARTS: "0+1x60"}, 9),
    Case("no model is loaded any more", "failed_starts", {STARTS: "0+1x60", LOADS: "9x60"}, 9),
    Case("each start loads a model", "failed_starts", {STARTS: "0+1x60", LOADS: "0+1x60"}, None),
    Case("scores fall by 0.2", "drift", {EXPECTED: "0+9x60", SCORES: "0+7x60", COMPARED: "0+10x60"}, 11),
    Case("scores fall by 0.05", "drift", {EXPECTED: "0+9x60", SCORES: "0+8.5x60", COMPARED: "0+10x60"}, None),
    Case("few scores fall", "drift", {EXPECTED: "0+0.9x60", SCORES: "0+0.5x60", COMPARED: "0+1x60"}, None),
    Case(
        "a model is not replaced",
        "not_replaced",
        {ours("not_replaced", model="pets", alias="stable"): "0x5 1x55"},
        6,
        {"model": "pets", "alias": "stable"},
    ),
    Case("each was replaced", "not_replaced", {ours("not_replaced", model="pets", alias="stable"): "3x60"}, None),
    Case("a nightly job fails", "nightly_failed", {job("failed"): "0x10 1x50"}, 11),
    Case("a nightly job succeeds", "nightly_failed", {job("succeeded"): "0x10 1x50", job("failed"): "0x60"}, None),
    Case(
        "no nightly job has succeeded",
        "nightly_missed",
        {job("failed"): "0x2000"},
        60,
        {"monitored_resource": "cloud_run_job", "job_name": "dev-prediction-nightly", "result": "succeeded"},
        minutes=120,
    ),
    Case("one has", "nightly_missed", {job("succeeded"): "1x180"}, None, minutes=180),
    Case("one call in five is refused", "endpoint_errors", {CALLS: "0+8x60", REFUSED: "0+2x60"}, 11),
    Case("one call in fifty is refused", "endpoint_errors", {CALLS: "0+98x60", REFUSED: "0+2x60"}, None),
    Case("one call in ten is slow", "endpoint_latency", latencies(10), 11),
    Case("one call in fifty is slow", "endpoint_latency", latencies(2), None),
    Case("a topic is not read", "stuck", {**REPORTED, LAG: "0+20x60", ANSWERED: "5x60"}, 16, deployment=KAFKA),
    Case("all its messages are nacked", "stuck", {**REPORTED, LAG: "0+20x60", NACKED: "0+5x60"}, 16, deployment=KAFKA),
    Case("a topic is read slowly", "stuck", {**REPORTED, LAG: "0+20x60", ANSWERED: "0+1x60"}, None, deployment=KAFKA),
    Case("no worker reports", "stuck", {REPORTS: "0+1x10 _x50"}, 26, POOL, deployment=KAFKA),
    Case(
        "a topic is read too slowly",
        "backlog",
        {**REPORTED, LAG: "0+100x60", FINISHED: "0+5x60"},
        6,
        {"topic": "req_predict"},
        deployment=KAFKA,
    ),
    Case("it is read", "backlog", {**REPORTED, LAG: "0+100x60", FINISHED: "0+20x60"}, None, deployment=KAFKA),
    Case("a topic of dead letters", "dead_letters", {ours("kafka_dead_letters"): "0x5 1x55"}, 6, deployment=KAFKA),
    Case("none since", "dead_letters", {ours("kafka_dead_letters"): "4x60"}, None, deployment=KAFKA),
    Case("no decision any more", "scaling", {DECISIONS: "0 1 2 3 4 5 6 7 8 9 10x50"}, 25, deployment=SCALE),
    Case("no decision ever", "scaling", {}, 10, deployment=SCALE),
    Case(
        "one in five minutes", "scaling", {DECISIONS: "0x4 1x4 2x4 3x4 4x4 5x4 6x4"}, None, deployment=SCALE, minutes=35
    ),
]


def rules(plan: Plan, deployment: str) -> dict[str, Any]:
    """The alerts of a deployment as rules of Prometheus."""
    groups = []
    for name, alert in alerts_of(plan(**DEPLOYMENTS[deployment])).items():
        condition = alert["conditions"][0]["condition_prometheus_query_language"][0]
        rule = {"alert": name, "expr": condition["query"], "for": condition["duration"]}
        groups.append({"name": name, "interval": condition["evaluation_interval"], "rules": [rule]})
    return {"groups": groups}


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_every_alert_has_a_case_that_fires_and_one_that_does_not(deployment: str, plan: Plan) -> None:
    names = {group["name"] for group in rules(plan, deployment)["groups"]}
    own = OWN.get(deployment, names)
    cases = [case for case in CASES if case.deployment == deployment]
    assert own <= names
    assert {case.alert for case in cases if case.fires_after is None} == own
    assert {case.alert for case in cases if case.fires_after is not None} == own


@pytest.mark.parametrize("case", CASES, ids=[f"{case.alert}: {case.name}" for case in CASES])
def test_an_alert_fires_when_it_should(case: Case, plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules(plan, case.deployment)))
    fires: dict[str, Any] = {"alertname": case.alert, "exp_alerts": [{"exp_labels": case.labels}]}
    silent: dict[str, Any] = {"alertname": case.alert, "exp_alerts": []}
    if case.fires_after is None:
        expected = [{"eval_time": f"{minute}m", **silent} for minute in range(0, case.minutes, 5)]
    else:
        expected = [{"eval_time": f"{case.fires_after - 1}m", **silent}, {"eval_time": f"{case.fires_after}m", **fires}]
    given = [{"series": name, "values": values} for name, values in case.series.items()]
    tests = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": given, "alert_rule_test": expected}],
    }
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(tests))
    done = subprocess.run(
        ["promtool", "test", "rules", "tests.yaml"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
