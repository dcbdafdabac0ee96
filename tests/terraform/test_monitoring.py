"""Alerts and charts: queries parse, metrics exist, and prices are those of the plan."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml
from google.cloud.monitoring_dashboard_v1 import Dashboard

from client.plan.prices import Prices

GOOGLES = yaml.safe_load(Path(__file__).with_name("google_metrics.yaml").read_text())
SCORERS = {"cloud_run_revision": "service_name", "cloud_run_worker_pool": "worker_pool_name"}

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
    """Ours and Google's, by the names that PromQL has for them."""
    googles = {
        promql_name(name): Known(given["resources"], frozenset(), given["is"] == "distribution")
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
    assert len(queries) == 15
    assert [f"{title}: {found}" for title, query in queries.items() for found in findings(query, known)] == []


@pytest.mark.parametrize(
    ("edit", "found"),
    [
        (("subscription_id=~", "subscription=~"), "num_undelivered_messages by subscription"),
        (("num_undelivered_messages", "undelivered_messages"), "no metric"),
        (("ack_message_count", "ack_message_count_sum"), "a distribution is asked for"),
        (('"pubsub_subscription"', '"pubsub_topic"'), "of pubsub_topic, which has none"),
    ],
)
def test_a_missing_metric_is_found(
    queries: dict[str, str], known: dict[str, Known], edit: tuple[str, str], found: str
) -> None:
    assert any(found in each for each in findings(queries["stuck"].replace(*edit), known))


def test_every_log_metric_is_charted(queries: dict[str, str], known: dict[str, Known]) -> None:
    used = {named(each, known) for query in queries.values() for each in selectors(promql.parse(query))}
    assert used == known.keys()


def test_the_dashboard_is_valid(planned: Resources) -> None:
    (given,) = (each["values"] for each in planned if each["type"] == "google_monitoring_dashboard")
    dashboard = Dashboard.from_json(given["dashboard_json"])  # refuses fields that Google's own types lack
    titles = " ".join(widget.title for widget in dashboard.grid_layout.widgets)
    for what in ("Age of", "per second", "Outcomes", "by stage", "Cold starts", "score by class", "cost"):
        assert what in titles


def test_the_readme_says_what_to_do_for_every_alert(planned: Resources, root: Path) -> None:
    alerts = {each["index"]: each["values"] for each in planned if each["type"] == "google_monitoring_alert_policy"}
    said = re.findall(
        r"^\| `(\w+)` \| .+ \| .+ \|$", (root / "infra" / "README.md").read_text().split("| alert |")[1], re.M
    )
    assert set(alerts) <= set(said)
    assert all(f"`{name}`" in alert["documentation"][0]["content"] for name, alert in alerts.items())


def test_prices_are_those_of_the_plan(root: Path) -> None:
    written = dict(re.findall(r"^    (\w+) += ([\d.]+)$", (root / "infra" / "costs.tf").read_text(), re.M))
    price = Prices.read().price
    assert len(written) == 6
    assert {name: float(usd) for name, usd in written.items()} == {name: price[name].usd for name in written}
