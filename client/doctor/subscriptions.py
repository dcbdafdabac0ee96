"""Subscriptions: there, on their topic, with the settings of topology.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from client.doctor.clients import Clients
from client.doctor.finding import Finding, fail, ok
from client.doctor.gcloud import gcloud
from client.doctor.push import check_push
from client.doctor.settings import Settings, short
from client.doctor.wanted import Subscription
from client.doctor.worker import Deployment


def check_subscription(clients: Clients, wanted: Subscription, deployment: Deployment) -> Iterator[Finding]:
    """A line on the subscription, and one on how it is pushed."""
    what = f"subscription {short(wanted.name)}"
    found = clients.subscription(wanted.name)
    if found is None:
        yield fail(what, "is not there", make(wanted, deployment))
        return
    if said := misplaced(found, wanted):
        yield fail(what, said, remake(wanted, deployment))
    elif changed := differences(found, wanted):
        flags = [flag for name in changed for flag in wanted.settings.flags()[name]]
        update = gcloud(clients.project, "pubsub", "subscriptions", "update", short(wanted.name), *flags)
        yield fail(what, "; ".join(changed.values()), update)
    else:
        yield ok(what, "has the settings of topology.yaml")
    yield from check_push(found, wanted, deployment)


def misplaced(found: Any, wanted: Subscription) -> str:
    """What is wrong that an update cannot change; empty when nothing is."""
    if found.detached:
        return "is detached from its topic"
    if found.topic != wanted.topic:
        return f"is on the topic {short(found.topic)}, not {short(wanted.topic)}"
    if found.filter != wanted.filter:
        return f"has the filter {found.filter or 'none'}, not {wanted.filter or 'none'}"
    return ""


def differences(found: Any, wanted: Subscription) -> dict[str, str]:
    """Which settings are others, and how."""
    there, should = Settings.found(found).words(), wanted.settings.words()
    return {name: f"{name} is {there[name]}, not {should[name]}" for name in should if there[name] != should[name]}


def make(wanted: Subscription, deployment: Deployment) -> str:
    """The command that makes it."""
    settings = [flag for flags in wanted.settings.flags().values() for flag in flags if not flag.startswith("--clear")]
    filters = [f"--message-filter={wanted.filter}"] if wanted.filter else []
    pushed = deployment.flags(wanted.path) if wanted.path and deployment.url else []
    words = ["create", short(wanted.name), f"--topic={short(wanted.topic)}", *settings, *filters, *pushed]
    return gcloud(deployment.project, "pubsub", "subscriptions", *words)


def remake(wanted: Subscription, deployment: Deployment) -> str:
    """The command that takes it away, with what waits in it, and makes it anew."""
    delete = gcloud(deployment.project, "pubsub", "subscriptions", "delete", short(wanted.name))
    return f"{delete} && {make(wanted, deployment)}"
