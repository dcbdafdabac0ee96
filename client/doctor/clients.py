"""Google's clients for read-only calls with the caller's permissions, with a short retry."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from client.gcp import CALL_TIMEOUT_S, Cloud, pubsub_retry, storage_retry

RETRY_S = 5.0
"""Seconds during which a call is retried: less than in other commands, because the doctor makes many calls."""


class PermissionMissing(Exception):
    """The caller lacks the permission for a call."""

    def __init__(self, permission: str) -> None:
        super().__init__(f"{permission} is missing")
        self.permission = permission


class Clients:
    """Clients of Pub/Sub and Cloud Storage. Raises google.auth's DefaultCredentialsError without credentials."""

    def __init__(self, cloud: Cloud) -> None:
        from google.cloud import pubsub_v1

        self.project = cloud.project
        self.storage: Any = cloud.storage_client()
        self.publisher: Any = pubsub_v1.PublisherClient()
        self.subscriber: Any = pubsub_v1.SubscriberClient()
        self.pubsub_limits = {"retry": pubsub_retry().with_timeout(RETRY_S), "timeout": CALL_TIMEOUT_S}
        self.storage_limits = {"retry": storage_retry().with_timeout(RETRY_S), "timeout": CALL_TIMEOUT_S}

    def topic(self, name: str) -> Any:
        """Return a topic, or None. Raises PermissionMissing, GoogleAPICallError."""
        return call("pubsub.topics.get", self.publisher.get_topic, topic=name, **self.pubsub_limits)

    def subscription(self, name: str) -> Any:
        """Return a subscription, or None. Raises PermissionMissing, GoogleAPICallError."""
        get = self.subscriber.get_subscription
        return call("pubsub.subscriptions.get", get, subscription=name, **self.pubsub_limits)

    def policy(self, resource: str) -> Any:
        """Return the IAM policy of a topic or subscription, or None. Raises PermissionMissing, GoogleAPICallError."""
        kind = resource.split("/")[2]
        get = (self.publisher if kind == "topics" else self.subscriber).get_iam_policy
        return call(f"pubsub.{kind}.getIamPolicy", get, request={"resource": resource}, **self.pubsub_limits)

    def project_number(self) -> str:
        """Return the project number, which is part of the names of Google's service agents.

        It is read from the name of Cloud Storage's agent. Raises PermissionMissing, GoogleAPICallError.
        """
        get = self.storage.get_service_account_email
        match = re.match(
            r"service-([^@]+)@",
            str(call("resourcemanager.projects.get", get, project=self.project, **self.storage_limits)),
        )
        return match[1] if match else ""

    def close(self) -> None:
        """Close the connections."""
        self.storage.close()
        self.publisher.transport.close()
        self.subscriber.close()


def call(permission: str, function: Callable[..., Any], **arguments: Any) -> Any:
    """Call a function of Google's clients. Returns None where the resource does not exist.

    Raises PermissionMissing where the caller lacks the permission, and GoogleAPICallError for other errors; that is
    Forbidden where the project has not enabled the service.
    """
    from google.api_core.exceptions import Forbidden, NotFound

    try:
        return function(**arguments)
    except NotFound:
        return None
    except Forbidden as exc:
        if exc.reason == "SERVICE_DISABLED":
            raise
        raise PermissionMissing(permission) from exc
