"""Checks subscriptions: they exist, on their topic, with the settings of topology.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from client.doctor.checks.push import check_push
from client.doctor.clients import Clients
from client.doctor.deployment import Deployment
from client.doctor.expected import Subscription
from client.doctor.finding import Finding, fail, ok
from client.doctor.gcloud import gcloud
from client.doctor.subscription_settings import SubscriptionSettings, short


def check_subscription(clients: Clients, expected: Subscription, deployment: Deployment) -> Iterator[Finding]:
    """Yield a finding on the subscription, and one on its push configuration."""
    subject = f"subscription {short(expected.name)}"
    found = clients.subscription(expected.name)
    if found is None:
        yield fail(subject, "does not exist", create_command(expected, deployment))
        return
    if message := unfixable(found, expected):
        yield fail(subject, message, recreate_command(expected, deployment))
    elif changed := differences(found, expected):
        flags = [flag for name in changed for flag in expected.settings.flags()[name]]
        update = gcloud(clients.project, "pubsub", "subscriptions", "update", short(expected.name), *flags)
        yield fail(subject, "; ".join(changed.values()), update)
    else:
        yield ok(subject, "has the settings of topology.yaml")
    yield from check_push(found, expected, deployment)


def unfixable(found: Any, expected: Subscription) -> str:
    """Return what is wrong that an update cannot change; empty when nothing is."""
    if found.detached:
        return "is detached from its topic"
    if found.topic != expected.topic:
        return f"is on the topic {short(found.topic)}, not {short(expected.topic)}"
    if found.filter != expected.filter:
        return f"has the filter {found.filter or 'none'}, not {expected.filter or 'none'}"
    return ""


def differences(found: Any, expected: Subscription) -> dict[str, str]:
    """Return the settings that differ, each with a sentence."""
    actual, wanted = SubscriptionSettings.found(found).described(), expected.settings.described()
    return {name: f"{name} is {actual[name]}, not {wanted[name]}" for name in wanted if actual[name] != wanted[name]}


def create_command(expected: Subscription, deployment: Deployment) -> str:
    """Return the command that creates the subscription."""
    flags = [flag for flags in expected.settings.flags().values() for flag in flags if not flag.startswith("--clear")]
    filters = [f"--message-filter={expected.filter}"] if expected.filter else []
    pushed = deployment.push_flags(expected.path) if expected.path and deployment.url else []
    words = ["create", short(expected.name), f"--topic={short(expected.topic)}", *flags, *filters, *pushed]
    return gcloud(deployment.project, "pubsub", "subscriptions", *words)


def recreate_command(expected: Subscription, deployment: Deployment) -> str:
    """Return the command that deletes the subscription with its messages, and creates it again."""
    delete = gcloud(deployment.project, "pubsub", "subscriptions", "delete", short(expected.name))
    return f"{delete} && {create_command(expected, deployment)}"
