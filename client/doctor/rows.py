"""Responses as rows: what Terraform makes beside topology.yaml, where its `bigquery` asks for it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from client.doctor.clients import Clients
from client.doctor.dead_letters import check_dead_letters, holders
from client.doctor.finding import Finding, fail, ok
from client.doctor.gcloud import gcloud
from client.doctor.grants import check_grant, grants
from client.doctor.settings import Settings, short
from client.doctor.subscriptions import check_subscription, differences, misplaced
from client.doctor.topics import check_topic
from client.doctor.wanted import Subscription, Topic, Wanted
from client.doctor.worker import Deployment
from client.gcp import Cloud

_WEEK_S = 604_800.0
_ACTIVE = "ACTIVE"
_WHY = {
    "PERMISSION_DENIED": "Pub/Sub's agent may not write there, or BigQuery is switched off",
    "NOT_FOUND": "there is no such table",
    "SCHEMA_MISMATCH": "the table's columns do not fit responses",
}
"""By the state that Pub/Sub gives the subscription (its reference: BigQueryConfig.State)."""


def rows(cloud: Cloud, prefix: str) -> Wanted:
    """The subscription that writes, first, and what holds its dead letters, as infra/results.tf has them."""
    dead = cloud.topic_path(f"{prefix}dead_bigquery")
    sink = Subscription(
        cloud.subscription_path(f"{prefix}res_predict-bigquery"),
        cloud.topic_path(f"{prefix}res_predict"),
        filter="",
        path="",
        settings=Settings(60, _WEEK_S, 0.0, (10.0, 600.0), (dead, 20)),
    )
    keeper = cloud.subscription_path(f"{prefix}dead_bigquery-sub")
    held = Subscription(keeper, dead, filter="", path="", settings=Settings(60, _WEEK_S, 0.0, None, None))
    return Wanted((Topic(dead, 0.0),), (sink, held), ())


def check_rows(clients: Clients, wanted: Wanted, deployment: Deployment) -> Iterator[Finding]:
    """A line where nothing is written to BigQuery; otherwise one on that, and on all that its dead letters need."""
    sink, *keepers = wanted.subscriptions
    found = clients.subscription(sink.name)
    if found is None:
        yield ok(f"rows {short(sink.name)}", "is not there: responses are not written to BigQuery")
        return
    yield _written(found, sink, deployment)
    for topic in wanted.topics:
        yield from check_topic(clients, topic)
    for keeper in keepers:
        yield from check_subscription(clients, keeper, deployment)
    for dead, those in holders(wanted).items():
        yield from check_dead_letters(clients, dead, those, deployment)
    for grant in grants(wanted):
        yield from check_grant(clients, grant)


def _written(found: Any, sink: Subscription, deployment: Deployment) -> Finding:
    """Whether responses come into the table."""
    what, config, subscriptions = f"rows {short(sink.name)}", found.bigquery_config, ("pubsub", "subscriptions")
    apply = shlex.join(deployment.deploy)
    if said := misplaced(found, sink):
        return fail(what, said, f"{gcloud(deployment.project, *subscriptions, 'delete', short(sink.name))} && {apply}")
    if not config.table:
        return fail(what, "writes to no table", apply)
    if config.state.name != _ACTIVE:
        why = _WHY.get(config.state.name, config.state.name)
        return fail(what, f"writes nothing to {config.table}: {why}", apply)
    if changed := differences(found, sink):
        flags = [flag for name in changed for flag in sink.settings.flags()[name]]
        return fail(
            what,
            "; ".join(changed.values()),
            gcloud(deployment.project, *subscriptions, "update", short(sink.name), *flags),
        )
    return ok(what, f"writes to {config.table}")
