"""Dead letters: a topic forgets what no subscription holds, so somebody must hold them."""

from __future__ import annotations

from collections.abc import Iterator

from client.doctor.clients import Clients
from client.doctor.finding import Finding, fail, ok
from client.doctor.gcloud import gcloud
from client.doctor.settings import short
from client.doctor.subscriptions import make, misplaced, remake
from client.doctor.wanted import Subscription, Wanted
from client.doctor.worker import Deployment


def holders(wanted: Wanted) -> dict[str, list[Subscription]]:
    """The subscriptions that keep dead letters for people, by topic."""
    topics = dict.fromkeys(each.settings.dead_letters[0] for each in wanted.subscriptions if each.settings.dead_letters)
    return {topic: [each for each in wanted.subscriptions if each.topic == topic and not each.path] for topic in topics}


def check_dead_letters(
    clients: Clients, topic: str, keepers: list[Subscription], deployment: Deployment
) -> Iterator[Finding]:
    """One line on a dead-letter topic."""
    what, name = f"dead letters {short(topic)}", short(topic)
    mend = gcloud(clients.project, "pubsub", "subscriptions", "create", f"{name}-sub", f"--topic={name}")
    for each in keepers:
        found = clients.subscription(each.name)
        if found is not None and not misplaced(found, each):
            yield ok(what, f"are held by {short(each.name)}")
            return
        mend = make(each, deployment) if found is None else remake(each, deployment)
    yield fail(what, "are lost: nobody holds them", mend)
