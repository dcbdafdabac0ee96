"""Grants the topology's roles to Google's service agents on the twin, as Terraform does. They are not enforced."""

from __future__ import annotations

from google.iam.v1.policy_pb2 import Binding
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from infra.local.channel import open_channel
from infra.local.topology import Topology

PUBLISHER, SUBSCRIBER = "roles/pubsub.publisher", "roles/pubsub.subscriber"


def grant(topology: Topology, pubsub_host: str, project: str) -> None:
    """Let Pub/Sub's agent forward dead letters, and Storage's agent publish notifications. Repeating changes nothing.

    The agents are named with the project's id instead of its number. Raises google.api_core's GoogleAPICallError.
    """
    topics, subscriptions = f"projects/{project}/topics", f"projects/{project}/subscriptions"
    pubsub = f"serviceAccount:service-{project}@gcp-sa-pubsub.iam.gserviceaccount.com"
    storage = f"serviceAccount:service-{project}@gs-project-accounts.iam.gserviceaccount.com"
    with open_channel(pubsub_host) as channel:
        publisher = PublisherClient(transport=PublisherGrpcTransport(channel=channel))
        subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
        for each in topology.subscriptions:
            if each.dead_letter_topic:
                _add(publisher, f"{topics}/{each.dead_letter_topic}", PUBLISHER, pubsub)
                _add(subscriber, f"{subscriptions}/{each.name}", SUBSCRIBER, pubsub)
        for notification in topology.notifications:
            _add(publisher, f"{topics}/{notification.topic}", PUBLISHER, storage)


def _add(client: PublisherClient | SubscriberClient, resource: str, role: str, member: str) -> None:
    policy = client.get_iam_policy({"resource": resource})
    if not any(each.role == role and member in each.members for each in policy.bindings):
        policy.bindings.append(Binding(role=role, members=[member]))
        client.set_iam_policy({"resource": resource, "policy": policy})
