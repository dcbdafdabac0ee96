"""The project, its topics and Google's client libraries, with a time limit on every call.

Google's libraries read PUBSUB_EMULATOR_HOST and STORAGE_EMULATOR_HOST themselves. This code only checks them first, in
emulators.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.api_core.retry import Retry
    from google.cloud import pubsub_v1, storage

CALL_TIMEOUT_S = 10.0
"""Time limit in seconds for one call without an image."""

UPLOAD_TIMEOUT_S = 60.0
"""Time limit in seconds for one call that carries an image or a part of one."""

RETRY_S = 20.0
"""Seconds during which a call that fails for a temporary reason is retried."""

MAX_SECONDS = 604_800
"""Seconds of the longest timeout that a user may set: a week, as long as Pub/Sub keeps a message by default."""

BATCH_DELAY_S = 0.005
"""Seconds that a message waits for others to share its publish call: too short for a user to notice."""


KAFKA, PUBSUB = "kafka://", "pubsub"
"""How the address of a Kafka cluster begins, and the name of the other broker."""

_ADDRESS = re.compile(r"kafka://[^\s/,@]+:[0-9]+(,[^\s/,@]+:[0-9]+)*/?")


class UsageError(Exception):
    """The command cannot run with these arguments. The message names what to change."""


@dataclass(frozen=True, slots=True)
class Cloud:
    """A project and the names of its topics. A name may also be a full resource name (projects/P/topics/T).

    `broker` is the address of a Kafka cluster, which then has the topics, and empty for Pub/Sub. `kafka_config` is the
    file with the properties of its connections, empty where they need none.
    """

    project: str
    topic: str = "req_predict"
    response_topic: str = "res_predict"
    broker: str = ""
    kafka_config: str = ""

    def topic_path(self, name: str) -> str:
        """Return the full resource name of a topic. Raises UsageError when no project is set."""
        return self._path("topics", name)

    def subscription_path(self, name: str) -> str:
        """Return the full resource name of a subscription. Raises UsageError when no project is set."""
        return self._path("subscriptions", name)

    def _path(self, kind: str, name: str) -> str:
        if name.startswith("projects/"):
            return name
        if not self.project:
            raise UsageError("no project is set: give --project, or set GOOGLE_CLOUD_PROJECT")
        return f"projects/{self.project}/{kind}/{name}"

    def storage_client(self) -> storage.Client:
        """Create a Cloud Storage client. Raises google.auth's DefaultCredentialsError."""
        from google.cloud import storage

        return storage.Client(project=self.project or None)


def broker_address(text: str) -> str:
    """Return the address of a Kafka cluster, "" for Pub/Sub. Raises ValueError, which names what is allowed."""
    if text in ("", PUBSUB):
        return ""
    if not _ADDRESS.fullmatch(text):
        raise ValueError(f"{text[:100]!r} is no broker; it must be {PUBSUB}, or kafka://HOST:PORT[,HOST:PORT...]")
    return text.rstrip("/")


def publisher(*, ordered: bool = False) -> pubsub_v1.PublisherClient:
    """Create a publisher that batches messages for at most BATCH_DELAY_S; `ordered` allows ordering keys."""
    from google.cloud import pubsub_v1

    options = pubsub_v1.types.PublisherOptions(enable_message_ordering=ordered)
    return pubsub_v1.PublisherClient(pubsub_v1.types.BatchSettings(max_latency=BATCH_DELAY_S), options)


def pubsub_retry(retry_s: float = RETRY_S) -> Retry:
    """Return the retry policy for Pub/Sub calls: temporary errors are retried for `retry_s` seconds."""
    from google.api_core import exceptions, retry

    temporary = retry.if_exception_type(
        exceptions.Aborted,
        exceptions.DeadlineExceeded,
        exceptions.InternalServerError,
        exceptions.ResourceExhausted,
        exceptions.ServiceUnavailable,
        exceptions.Unknown,
    )
    return retry.Retry(predicate=temporary, initial=0.1, maximum=5.0, timeout=retry_s)


def storage_retry() -> Any:
    """Return the retry policy for Cloud Storage calls: the library's own, for RETRY_S."""
    from google.cloud.storage.retry import DEFAULT_RETRY

    return DEFAULT_RETRY.with_timeout(RETRY_S)
