"""Notifications: publishes object events to Pub/Sub according to a bucket's notification configurations."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from google.api_core.exceptions import GoogleAPIError
from google.api_core.retry import Retry
from google.pubsub_v1 import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.types import PubsubMessage

from infra.local.channel import open_channel
from infra.local.storage.resources import shown
from infra.local.storage.store import Event
from infra.local.topology import Notification

_log = logging.getLogger("infra.local.storage")

# Seconds that a publish is retried. Cloud Storage itself retries for days.
_TIMEOUT_S = 30.0
HOST = "//pubsub.googleapis.com/"


@dataclass(frozen=True, slots=True)
class Watch:
    """A notification configuration. `topic` is a full name; empty `event_types` mean all; `payload` may be NONE."""

    id: int
    bucket: str
    topic: str
    event_types: tuple[str, ...] = ()
    prefix: str = ""
    payload: str = "JSON_API_V1"
    custom: Mapping[str, str] = field(default_factory=dict)

    def wants(self, event: Event) -> bool:
        """Whether the configuration matches an event."""
        return (
            event.row.parent == self.bucket
            and event.row.name.startswith(self.prefix)
            and (not self.event_types or event.type in self.event_types)
        )


def watches(notifications: Iterable[Notification], project: str) -> list[Watch]:
    """The configurations of a topology, numbered from 1."""
    return [
        Watch(number, each.bucket, f"projects/{project}/topics/{each.topic}", each.event_types)
        for number, each in enumerate(notifications, 1)
    ]


class Notifier:
    """Publishes events to a Pub/Sub server without credentials, from any thread."""

    def __init__(self, pubsub_host: str, watches: Sequence[Watch]) -> None:
        self.watches = tuple(watches)  # those at the start; the API can add more
        self._channel = open_channel(pubsub_host, max_send_message_length=-1)
        self._publisher = PublisherClient(transport=PublisherGrpcTransport(channel=self._channel))

    def notify(self, event: Event, watches: Iterable[Watch], base_url: str) -> None:
        """Publish an event to the topics of `watches`, with retries. A failure is logged and the object stays."""
        retry = Retry(initial=0.1, maximum=1.0, timeout=_TIMEOUT_S)
        for watch in watches:
            messages = [message(event, watch, base_url)]
            try:
                self._publisher.publish(topic=watch.topic, messages=messages, retry=retry, timeout=_TIMEOUT_S)
            except GoogleAPIError as exc:
                _log.error("no notification of %s/%s on %s: %s", event.row.parent, event.row.name, watch.topic, exc)

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()


def message(event: Event, watch: Watch, base_url: str) -> PubsubMessage:
    """A notification in the cloud's format (Google Cloud, "Pub/Sub notifications for Cloud Storage")."""
    row = event.row
    attributes = {
        **watch.custom,
        "notificationConfig": f"projects/_/buckets/{row.parent}/notificationConfigs/{watch.id}",
        "eventType": event.type,
        "payloadFormat": watch.payload,
        "bucketId": row.parent,
        "objectId": row.name,
        "objectGeneration": str(row.generation),
        "eventTime": row.data.get("timeDeleted") or row.data["updated"],
        **event.extra,
    }
    resource = json.dumps(shown(row, base_url), ensure_ascii=False, indent=2).encode()
    return PubsubMessage(data=b"" if watch.payload == "NONE" else resource, attributes=attributes)
