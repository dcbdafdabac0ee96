"""Looking with the caller's rights: Google's clients, short of patience, and what may not be seen."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from client.gcp import CALL_TIMEOUT_S, Cloud, patience, storage_patience

PATIENCE_S = 5.0
"""Hiccups are retried this long: there are many calls, and somebody waits."""


class Unseen(Exception):
    """The caller may not look; `permission` is what is missing."""

    def __init__(self, permission: str) -> None:
        super().__init__(f"{permission} is missing")
        self.permission = permission


class Clients:
    """What looks. Raises google.auth's DefaultCredentialsError where nobody is signed in."""

    def __init__(self, cloud: Cloud) -> None:
        from google.cloud import pubsub_v1

        self.project = cloud.project
        self.storage: Any = cloud.storage_client()
        self.publisher: Any = pubsub_v1.PublisherClient()
        self.subscriber: Any = pubsub_v1.SubscriberClient()
        self.pubsub_limits = {"retry": patience().with_timeout(PATIENCE_S), "timeout": CALL_TIMEOUT_S}
        self.storage_limits = {"retry": storage_patience().with_timeout(PATIENCE_S), "timeout": CALL_TIMEOUT_S}

    def topic(self, name: str) -> Any:
        """A topic, or None. Raises Unseen, GoogleAPICallError."""
        return look("pubsub.topics.get", self.publisher.get_topic, topic=name, **self.pubsub_limits)

    def subscription(self, name: str) -> Any:
        """A subscription, or None. Raises Unseen, GoogleAPICallError."""
        get = self.subscriber.get_subscription
        return look("pubsub.subscriptions.get", get, subscription=name, **self.pubsub_limits)

    def policy(self, resource: str) -> Any:
        """Who may do what with a topic or a subscription, or None. Raises Unseen, GoogleAPICallError."""
        kind = resource.split("/")[2]
        get = (self.publisher if kind == "topics" else self.subscriber).get_iam_policy
        return look(f"pubsub.{kind}.getIamPolicy", get, request={"resource": resource}, **self.pubsub_limits)

    def project_number(self) -> str:
        """The number in the names of Google's agents, as Storage's has it. Raises Unseen, GoogleAPICallError."""
        get = self.storage.get_service_account_email
        match = re.match(
            r"service-([^@]+)@",
            str(look("resourcemanager.projects.get", get, project=self.project, **self.storage_limits)),
        )
        return match[1] if match else ""

    def close(self) -> None:
        """Let the connections go."""
        self.storage.close()
        self.publisher.transport.close()
        self.subscriber.close()


def look(permission: str, call: Callable[..., Any], **arguments: Any) -> Any:
    """What a call finds; None where there is nothing. Raises Unseen where the caller lacks the permission.

    Raises GoogleAPICallError for the rest: Forbidden where the service is not switched on for the project.
    """
    from google.api_core.exceptions import Forbidden, NotFound

    try:
        return call(**arguments)
    except NotFound:
        return None
    except Forbidden as exc:
        if exc.reason == "SERVICE_DISABLED":
            raise
        raise Unseen(permission) from exc
