"""Checks the BigQuery subscription: what Terraform creates in addition to topology.yaml when `bigquery` is set."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from client.doctor.checks.dead_letters import check_dead_letters, holders
from client.doctor.checks.grants import check_grant, grants
from client.doctor.checks.subscriptions import check_subscription, differences, unfixable
from client.doctor.checks.topics import check_topic
from client.doctor.clients import Clients
from client.doctor.deployment import Deployment
from client.doctor.expected import Expected, Subscription, Topic
from client.doctor.finding import Finding, fail, ok
from client.doctor.gcloud import gcloud
from client.doctor.subscription_settings import SubscriptionSettings, short
from client.gcp import Cloud

_WEEK_S = 604_800.0
"""Seconds that both subscriptions keep messages (infra/results.tf)."""

_ACTIVE = "ACTIVE"
_REASONS = {
    "PERMISSION_DENIED": "Pub/Sub's service agent may not write there, or BigQuery is not enabled",
    "NOT_FOUND": "the table does not exist",
    "SCHEMA_MISMATCH": "the table's columns do not match the responses",
}
"""Reasons by the subscription's state (Pub/Sub's reference: BigQueryConfig.State)."""


def bigquery(cloud: Cloud, prefix: str, responses: str = "") -> Expected:
    """Return the subscription that writes, first, and the one for its dead letters, as in infra/results.tf.

    `responses`: the full name of the topic of responses, if it is not Terraform's own.
    """
    dead = cloud.topic_path(f"{prefix}dead_bigquery")
    writer = Subscription(
        cloud.subscription_path(f"{prefix}res_predict-bigquery"),
        responses or cloud.topic_path(f"{prefix}res_predict"),
        filter="",
        path="",
        settings=SubscriptionSettings(60, _WEEK_S, 0.0, (10.0, 600.0), (dead, 20)),
    )
    holder = cloud.subscription_path(f"{prefix}dead_bigquery-sub")
    settings = SubscriptionSettings(60, _WEEK_S, 0.0, None, None)
    held = Subscription(holder, dead, filter="", path="", settings=settings)
    return Expected((Topic(dead, 0.0),), (writer, held), ())


def check_bigquery(clients: Clients, expected: Expected, deployment: Deployment) -> Iterator[Finding]:
    """Yield one finding when nothing is written to BigQuery; otherwise also those on the dead letters."""
    writer, *rest = expected.subscriptions
    found = clients.subscription(writer.name)
    if found is None:
        yield ok(f"rows {short(writer.name)}", "does not exist: responses are not written to BigQuery")
        return
    yield _check_writer(found, writer, deployment)
    for topic in expected.topics:
        yield from check_topic(clients, topic)
    for subscription in rest:
        yield from check_subscription(clients, subscription, deployment)
    for dead, holding in holders(expected).items():
        yield from check_dead_letters(clients, dead, holding, deployment)
    for grant in grants(expected):
        yield from check_grant(clients, grant)


def _check_writer(found: Any, writer: Subscription, deployment: Deployment) -> Finding:
    """Check that responses arrive in the table."""
    subject, config, subscriptions = f"rows {short(writer.name)}", found.bigquery_config, ("pubsub", "subscriptions")
    apply = shlex.join(deployment.deploy)
    if message := unfixable(found, writer):
        delete = gcloud(deployment.project, *subscriptions, "delete", short(writer.name))
        return fail(subject, message, f"{delete} && {apply}")
    if not config.table:
        return fail(subject, "writes to no table", apply)
    if config.state.name != _ACTIVE:
        reason = _REASONS.get(config.state.name, config.state.name)
        return fail(subject, f"writes nothing to {config.table}: {reason}", apply)
    if changed := differences(found, writer):
        flags = [flag for name in changed for flag in writer.settings.flags()[name]]
        update = gcloud(deployment.project, *subscriptions, "update", short(writer.name), *flags)
        return fail(subject, "; ".join(changed.values()), update)
    return ok(subject, f"writes to {config.table}")
