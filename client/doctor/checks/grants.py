"""Checks grants: Google's service agents may move dead letters and send notifications."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from client.doctor.clients import Clients
from client.doctor.expected import Expected
from client.doctor.finding import Finding, fail, ok
from client.doctor.gcloud import gcloud
from client.doctor.subscription_settings import short

_AGENTS = {"Pub/Sub": "gcp-sa-pubsub", "Storage": "gs-project-accounts"}
_WIDER_ROLES = ("roles/pubsub.editor", "roles/pubsub.admin")


@dataclass(frozen=True, slots=True)
class Grant:
    """The permission of a service agent for a topic or subscription, which `resource` names in full."""

    resource: str
    agent: str
    verb: str

    @property
    def role(self) -> str:
        """The role with the fewest permissions that allows it."""
        return "roles/pubsub.publisher" if self.verb == "publish to" else "roles/pubsub.subscriber"

    @property
    def subject(self) -> str:
        """The subject of findings on this grant."""
        return f"grant {short(self.resource)}"


def grants(expected: Expected) -> Iterator[Grant]:
    """Yield each grant that a deployment needs, once."""
    dead = [each.settings.dead_letters[0] for each in expected.subscriptions if each.settings.dead_letters]
    yield from (Grant(topic, "Pub/Sub", "publish to") for topic in dict.fromkeys(dead))
    yield from (
        Grant(each.name, "Pub/Sub", "subscribe to") for each in expected.subscriptions if each.settings.dead_letters
    )
    yield from (
        Grant(topic, "Storage", "publish to") for topic in dict.fromkeys(n.topic for n in expected.notifications)
    )


def check_grant(clients: Clients, grant: Grant) -> Iterator[Finding]:
    """Yield one finding; none when the resource does not exist, which another check reports."""
    policy = clients.policy(grant.resource)
    if policy is None:
        return
    member = f"serviceAccount:service-{clients.project_number()}@{_AGENTS[grant.agent]}.iam.gserviceaccount.com"
    roles = {each.role for each in policy.bindings if member in each.members and not each.condition.expression}
    agent, kind, name = f"{grant.agent}'s service agent", grant.resource.split("/")[2], short(grant.resource)
    if roles & {grant.role, *_WIDER_ROLES}:
        yield ok(grant.subject, f"{agent} may {grant.verb} it")
    else:
        add = ["pubsub", kind, "add-iam-policy-binding", name, f"--member={member}", f"--role={grant.role}"]
        yield fail(grant.subject, f"{agent} may not {grant.verb} it", gcloud(clients.project, *add))
