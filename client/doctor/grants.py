"""Grants: what Google's own agents must be allowed, or dead letters and notifications stay where they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from client.doctor.clients import Clients
from client.doctor.finding import Finding, fail, ok
from client.doctor.gcloud import gcloud
from client.doctor.settings import short
from client.doctor.wanted import Wanted

_AGENTS = {"Pub/Sub": "gcp-sa-pubsub", "Storage": "gs-project-accounts"}
_WIDER = ("roles/pubsub.editor", "roles/pubsub.admin")


@dataclass(frozen=True, slots=True)
class Grant:
    """Somebody's agent may do something with a topic or subscription, by its full name."""

    resource: str
    agent: str
    verb: str

    @property
    def role(self) -> str:
        """The least role that allows it."""
        return "roles/pubsub.publisher" if self.verb == "publish to" else "roles/pubsub.subscriber"

    @property
    def what(self) -> str:
        """As it is called in the report."""
        return f"grant {short(self.resource)}"


def grants(wanted: Wanted) -> Iterator[Grant]:
    """All that a deployment needs, each once."""
    dead = [each.settings.dead_letters[0] for each in wanted.subscriptions if each.settings.dead_letters]
    yield from (Grant(topic, "Pub/Sub", "publish to") for topic in dict.fromkeys(dead))
    yield from (
        Grant(each.name, "Pub/Sub", "subscribe to") for each in wanted.subscriptions if each.settings.dead_letters
    )
    yield from (Grant(topic, "Storage", "publish to") for topic in dict.fromkeys(n.topic for n in wanted.notifications))


def check_grant(clients: Clients, grant: Grant) -> Iterator[Finding]:
    """One line; none when what it is on is not there, which has a line already."""
    policy = clients.policy(grant.resource)
    if policy is None:
        return
    agent = f"serviceAccount:service-{clients.project_number()}@{_AGENTS[grant.agent]}.iam.gserviceaccount.com"
    roles = {each.role for each in policy.bindings if agent in each.members and not each.condition.expression}
    who, kind, name = f"{grant.agent}'s agent", grant.resource.split("/")[2], short(grant.resource)
    if roles & {grant.role, *_WIDER}:
        yield ok(grant.what, f"{who} may {grant.verb} it")
    else:
        add = ["pubsub", kind, "add-iam-policy-binding", name, f"--member={agent}", f"--role={grant.role}"]
        yield fail(grant.what, f"{who} may not {grant.verb} it", gcloud(clients.project, *add))
