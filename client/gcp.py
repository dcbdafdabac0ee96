"""Where the other side is: project, topics, and Google's clients with a limit on every call.

The clients read PUBSUB_EMULATOR_HOST and STORAGE_EMULATOR_HOST themselves; nothing here knows of emulators.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.api_core.retry import Retry
    from google.cloud import pubsub_v1, storage

CALL_TIMEOUT_S = 10.0
"""One call that carries little."""

UPLOAD_TIMEOUT_S = 60.0
"""One call that carries an image, or a part of it."""

RETRY_S = 20.0
"""Hiccups are retried this long."""


class UsageError(Exception):
    """The command cannot be run as it was given; the sentence says what to give instead."""


@dataclass(frozen=True, slots=True)
class Cloud:
    """A project and the names in it; each may be a full one (projects/P/topics/T)."""

    project: str
    topic: str = "req_predict"
    response_topic: str = "res_predict"

    def topic_path(self, name: str) -> str:
        """The full name of a topic. Raises UsageError when the project is not known."""
        return self._path("topics", name)

    def subscription_path(self, name: str) -> str:
        """The full name of a subscription. Raises UsageError when the project is not known."""
        return self._path("subscriptions", name)

    def _path(self, kind: str, name: str) -> str:
        if name.startswith("projects/"):
            return name
        if not self.project:
            raise UsageError("no project is known: give --project, or set GOOGLE_CLOUD_PROJECT")
        return f"projects/{self.project}/{kind}/{name}"

    def storage_client(self) -> storage.Client:
        """A client of Cloud Storage. Raises google.auth's DefaultCredentialsError."""
        from google.cloud import storage

        return storage.Client(project=self.project or None)


def publisher() -> pubsub_v1.PublisherClient:
    """A publisher that waits a few milliseconds for company, not longer."""
    from google.cloud import pubsub_v1

    return pubsub_v1.PublisherClient(pubsub_v1.types.BatchSettings(max_latency=0.005))


def patience() -> Retry:
    """How calls are retried: what a broker calls temporary, for RETRY_S."""
    from google.api_core import exceptions, retry

    temporary = retry.if_exception_type(
        exceptions.Aborted,
        exceptions.DeadlineExceeded,
        exceptions.InternalServerError,
        exceptions.ResourceExhausted,
        exceptions.ServiceUnavailable,
        exceptions.Unknown,
    )
    return retry.Retry(predicate=temporary, initial=0.1, maximum=5.0, timeout=RETRY_S)


def storage_patience() -> Any:
    """The storage client's own retry, for RETRY_S."""
    from google.cloud.storage.retry import DEFAULT_RETRY

    return DEFAULT_RETRY.with_timeout(RETRY_S)
