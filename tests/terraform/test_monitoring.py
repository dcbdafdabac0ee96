"""Alerts and charts: queries parse, metrics exist, and prices are those of the plan."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import promql_parser as promql
import pytest
import yaml
from google.cloud.monitoring_dashboard_v1 import Dashboard

from client.plan import cost
from client.plan.prices import Prices
from infra.check.scenarios import EXAMPLE
from infra.check.terraform import Terraform, copy_files
from infra.deploy import runbook
from infra.deploy.target import Target
from tests.terraform.conftest import EVERY_ALERT, ON_KAFKA, Plan, metrics_of

GOOGLES = yaml.safe_load(Path(__file__).with_name("google_metrics.yaml").read_text())
SCORERS = {"cloud_run_revision": "service_name", "cloud_run_worker_pool": "worker_pool_name"}

SPLIT = re.compile(r" (?:>|and|or|unless) ")
"""Between the parts of a query whose values are paid for ("Manage alerting costs", Cloud Monitoring)."""

OPTIONAL = {
    "run.googleapis.com/job/completed_execution_count": "nightly_missed",
    "run.googleapis.com/request_latencies": "endpoint_latency",
}
"""Metrics that only these alerts need."""

LAG = "Lag of Kafka's topics"

LINK = re.compile(r"\[([^]]+)\]\([^)]+\)")
MOST_CHARACTERS, MOST_BYTES = 8192, 10_240
"""The longest text of an alert ("AlertPolicy.Documentation", Cloud Monitoring)."""

MOST_ADDRESS = 2083
"""Characters of the longest link of an alert, from the same page."""

Resources = list[dict[str, Any]]
Metrics = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Known:
    """A metric that exists: the labels that identify its resources, and its own labels."""

    resources: Mapping[str, str]
    labels: frozenset[str]
    distribution: bool


@pytest.fixture(scope="module")
def known(metrics: Metrics) -> dict[str, Known]:
    return known_of(metrics)


def known_of(metrics: Metrics) -> dict[str, Known]:
    """Ours and Google's, by the names that PromQL has for them."""
    googles = {
        promql_name(name): Known(given["resources"], frozenset(given.get("labels", ())), given["is"] == "distribution")
        for name, given in GOOGLES.items()
    }
    return googles | {
        promql_name(f"logging.googleapis.com/user/{name}"): Known(
            SCORERS, frozenset(metric["label_extractors"] or {}), bool(metric["value_extractor"])
        )
        for name, metric in metrics.items()
    }


@pytest.fixture(scope="module")
def queries(planned: Resources) -> dict[str, str]:
    """Every query of the alerts and of the charts, by title."""
    return queries_of(planned)


def queries_of(planned: Resources) -> dict[str, str]:
    found = {}
    for each in planned:
        values = each["values"]
        if each["type"] == "google_monitoring_alert_policy":
            found[each["index"]] = values["conditions"][0]["condition_prometheus_query_language"][0]["query"]
        elif each["type"] == "google_monitoring_dashboard":
            for widget in json.loads(values["dashboard_json"])["gridLayout"]["widgets"]:
                for data in widget.get("xyChart", {}).get("dataSets", []):
                    found[widget["title"]] = data["timeSeriesQuery"]["prometheusQuery"]
    return found


def promql_name(metric: str) -> str:
    """The first slash becomes a colon, any other special character an underscore ("Mapping ... to PromQL", Google)."""
    domain, _, path = metric.partition("/")
    return re.sub(r"\W", "_", domain) + ":" + re.sub(r"\W", "_", path)


def selectors(expression: Any) -> Iterator[Any]:
    """Every series that an expression asks for."""
    if isinstance(expression, promql.VectorSelector):
        yield expression
    for part in ("expr", "lhs", "rhs", "args", "vector_selector"):
        inner = getattr(expression, part, None) or []
        for each in inner if isinstance(inner, list) else [inner]:
            yield from selectors(each)


def findings(query: str, known: Mapping[str, Known]) -> list[str]:
    """Metrics and labels of a query that do not exist."""
    return [found for selector in selectors(promql.parse(query)) if (found := finding(selector, known))]


def finding(selector: Any, known: Mapping[str, Known]) -> str:
    name = named(selector, known)
    metric = known.get(name)
    if metric is None:
        return f"no metric {name}"
    if metric.distribution == (name == selector.name):
        return f"{selector.name}: a distribution is asked for its _sum, _count or _bucket, another metric for none"
    matchers = {each.name: each.value for each in selector.matchers.matchers}
    resource = matchers.pop("monitored_resource", None)
    if resource not in metric.resources:
        return f"{name} of {resource}, which has none"
    if not {metric.resources[resource]} <= matchers.keys() <= {metric.resources[resource], *metric.labels}:
        return f"{name} by {', '.join(matchers)}"
    return ""


def named(selector: Any, known: Mapping[str, Known]) -> str:
    """The metric that a series is of: a distribution is three."""
    name = str(selector.name)
    return name if name in known else re.sub("_(sum|count|bucket)$", "", name)


def test_queried_metrics_exist(queries: dict[str, str], known: dict[str, Known]) -> None:
    assert len(queries) in (6 + 10, 11 + 10, 8 + 11)
    assert [f"{title}: {found}" for title, query in queries.items() for found in findings(query, known)] == []


@pytest.mark.parametrize(
    ("given", "edit", "found"),
    [
        ({}, ("subscription_id=~", "subscription=~"), "num_undelivered_messages by subscription"),
        ({}, ("num_undelivered_messages", "undelivered_messages"), "no metric"),
        ({}, ("ack_message_count", "ack_message_count_sum"), "a distribution is asked for"),
        ({}, ('"pubsub_subscription"', '"pubsub_topic"'), "of pubsub_topic, which has none"),
        (ON_KAFKA, ("kafka_lag_sum", "kafka_lag"), "a distribution is asked for"),
        (ON_KAFKA, ("outcome!=", "result!="), "prediction_outcomes by result"),
    ],
)
def test_a_missing_metric_is_found(plan: Plan, given: dict[str, str], edit: tuple[str, str], found: str) -> None:
    resources = plan(**given)
    query, known = queries_of(resources)["stuck"], known_of(metrics_of(resources))
    assert not findings(query, known)
    assert any(found in each for each in findings(query.replace(*edit), known))


def test_every_metric_is_used(queries: dict[str, str], known: dict[str, Known]) -> None:
    used = {named(each, known) for query in queries.values() for each in selectors(promql.parse(query))}
    unneeded = {promql_name(metric) for metric, alert in OPTIONAL.items() if alert not in queries}
    if LAG in queries:
        unneeded.add(promql_name("pubsub.googleapis.com/subscription/ack_message_count"))
    assert used == known.keys() - unneeded


@pytest.mark.parametrize("given", [{"compute": "push"}, EVERY_ALERT], ids=["push", "pool"])
def test_without_score_metrics_nothing_asks_for_them(given: dict[str, str], plan: Plan) -> None:
    resources = plan(**given, score_metrics="false")
    text = json.dumps(
        [each["values"] for each in resources if "monitoring" in each["type"] or "logging" in each["type"]]
    )
    assert "score_" not in text.replace("score_metrics", "") and "prediction-score" not in text
    assert "drift" not in {each.get("index") for each in resources if each["type"].endswith("alert_policy")}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"score_metrics": "false", "alerts": "{ score_drop = 0.2 }"},
            "alerts.score_drop is 0.2, but score_metrics is false: the alert drift compares these metrics. Leave "
            "score_drop out, or set score_metrics to true.",
        ),
        ({"runbook_url": "wiki/runbook"}, "runbook_url is wiki/runbook; it must be an address that begins with"),
        ({"runbook_url": "https://wiki/runbook#top"}, "without a # part"),
    ],
)
def test_a_contradiction_is_refused(given: dict[str, str], said: str, plan: Plan) -> None:
    with pytest.raises(RuntimeError) as refused:
        plan(**given)
    assert said in " ".join(str(refused.value).replace("│", " ").split())


def test_the_dashboard_is_valid(planned: Resources) -> None:
    (given,) = (each["values"] for each in planned if each["type"] == "google_monitoring_dashboard")
    dashboard = Dashboard.from_json(given["dashboard_json"])  # refuses fields that Google's own types lack
    titles = " ".join(widget.title for widget in dashboard.grid_layout.widgets)
    for what in ("Age of", "per second", "Outcomes", "by stage", "Cold starts", "score by class", "cost"):
        assert what in titles


def alerts_of(planned: Resources) -> dict[str, dict[str, Any]]:
    return {each["index"]: each["values"] for each in planned if each["type"] == "google_monitoring_alert_policy"}


def test_every_alert_contains_its_section_of_the_runbook(planned: Resources) -> None:
    alerts = alerts_of(planned)
    computes = {"worker": "nightly_missed" in alerts, "kafka": LAG in queries_of(planned)}
    compute = next((name for name, is_so in computes.items() if is_so), "push")
    target = Target("some-project", prefix="" if compute == "push" else "dev", compute=compute)
    page = runbook.page(target)
    sections = dict(part.split("\n", 1) for part in page.split("\n## ")[1:])
    for name, alert in alerts.items():
        content = alert["documentation"][0]["content"]
        assert content.startswith(LINK.sub(r"\1", sections[name]).strip()), name
        assert content.endswith(f"make runbook {runbook.arguments(target)}`.")
        assert len(content) <= MOST_CHARACTERS and len(content.encode()) <= MOST_BYTES
        assert "$" not in content and "](" not in content


def test_every_alert_links_to_runbook_dashboard_and_log_lines(planned: Resources) -> None:
    for name, alert in alerts_of(planned).items():
        links = {each["display_name"]: each["url"] for each in alert["documentation"][0]["links"]}
        assert all(len(url) <= MOST_ADDRESS for url in links.values())
        if "Runbook" in links:
            assert links.pop("Runbook") == f"https://wiki.example/runbook#{name}"
        assert list(links) == ["Dashboard", "Log lines"]
        assert re.fullmatch(r"https://console[^ ]+/dashboards/builder/[\w-]+\?project=some-project", links["Dashboard"])
        query = re.fullmatch(
            r"https://console.cloud.google.com/logs/query;query=([\w.%-]+);duration=PT3H\?project=some-project",
            links["Log lines"],
        )
        assert query and "prediction-" in unquote(query[1]), links
        assert unquote(query[1]).count('"') % 2 == 0


def test_the_names_of_the_runbook_are_those_of_the_deployment(terraform: Terraform, tmp_path: Path) -> None:
    given = {"prefix": "dev", "compute": "worker", "region": "europe-west4"}
    folder = copy_files(tmp_path / "work")
    terraform.planned(folder, EXAMPLE | given)
    terraform.applied(folder)
    done = subprocess.run(
        [terraform.binary, "console", *[f"-var={name}={value}" for name, value in (EXAMPLE | given).items()]],
        input="jsonencode(local.names)\n",
        cwd=folder,
        env=dict(terraform.environment),
        capture_output=True,
        text=True,
        check=True,
    )
    names = json.loads(json.loads(done.stdout))
    assert names == runbook.names(Target("some-project", "europe-west4", "dev", "worker"))


def test_the_readme_lists_every_alert(planned: Resources, root: Path) -> None:
    page = (root / "infra" / "README.md").read_text().split("| alert |")[1]
    listed = dict(re.findall(r"^\| `(\w+)` \| (\w+) \| .+ \|$", page, re.M))
    for name, alert in alerts_of(planned).items():
        assert listed[name] == alert["severity"]


def test_the_plan_counts_the_alerts_that_every_deployment_has(plan: Plan) -> None:
    alerts = alerts_of(plan())
    assert len(alerts) == cost.ALERTS == len(alerts_of(plan(score_metrics="false"))) + 1
    assert all(len(alert["conditions"]) == 1 for alert in alerts.values())
    values = 0
    for name, alert in alerts.items():
        condition = alert["conditions"][0]["condition_prometheus_query_language"][0]
        compared = [part for part in SPLIT.split(condition["query"]) if "_com:" in part]
        series = condition["query"].split('subscription_id=~"')[-1].split('"')[0].count("|") + 1
        values += (
            len(compared)
            * (series if name in ("backlog", "dead_letters") else 1)
            * (condition["evaluation_interval"] == "60s")
        )
    assert values == cost.ALERT_POINTS


def test_prices_are_those_of_the_plan(root: Path) -> None:
    written = dict(re.findall(r"^    (\w+) += ([\d.]+)$", (root / "infra" / "costs.tf").read_text(), re.M))
    price = Prices.read().price
    assert len(written) == 6
    assert {name: float(usd) for name, usd in written.items()} == {name: price[name].usd for name in written}
