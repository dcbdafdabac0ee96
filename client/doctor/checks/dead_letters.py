"""Checks dead letters: a subscription holds them, since a topic without subscriptions drops its messages."""

from __future__ import annotations

from collections.abc import Iterator

from client.doctor.checks.subscriptions import create_command, recreate_command, unfixable
from client.doctor.clients import Clients
from client.doctor.deployment import Deployment
from client.doctor.expected import Expected, Subscription
from client.doctor.finding import Finding, fail, ok
from client.doctor.gcloud import gcloud
from client.doctor.subscription_settings import short


def holders(expected: Expected) -> dict[str, list[Subscription]]:
    """Return the pulled subscriptions of each dead-letter topic, which hold dead letters until a person reads them."""
    subscriptions = expected.subscriptions
    topics = dict.fromkeys(each.settings.dead_letters[0] for each in subscriptions if each.settings.dead_letters)
    return {topic: [each for each in subscriptions if each.topic == topic and not each.path] for topic in topics}


def check_dead_letters(
    clients: Clients, topic: str, holding: list[Subscription], deployment: Deployment
) -> Iterator[Finding]:
    """Yield one finding on a dead-letter topic, which the subscriptions `holding` belong to."""
    subject, name = f"dead letters {short(topic)}", short(topic)
    fix = gcloud(clients.project, "pubsub", "subscriptions", "create", f"{name}-sub", f"--topic={name}")
    for each in holding:
        found = clients.subscription(each.name)
        if found is not None and not unfixable(found, each):
            yield ok(subject, f"are held by {short(each.name)}")
            return
        fix = create_command(each, deployment) if found is None else recreate_command(each, deployment)
    yield fail(subject, "are lost: no subscription holds them", fix)
