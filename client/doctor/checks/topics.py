"""Checks topics: they exist, and keep acked messages for replay as long as they should."""

from __future__ import annotations

from collections.abc import Iterator

from client.doctor.clients import Clients
from client.doctor.expected import Topic
from client.doctor.finding import Finding, fail, ok, warn
from client.doctor.gcloud import gcloud
from client.doctor.subscription_settings import duration, short


def check_topic(clients: Clients, expected: Topic) -> Iterator[Finding]:
    """Yield one finding."""
    name, retention_s = short(expected.name), expected.retention_s
    subject, flag = f"topic {name}", f"--message-retention-duration={duration(retention_s)}"
    found = clients.topic(expected.name)
    if found is None:
        create = ["pubsub", "topics", "create", name, *([flag] if retention_s else [])]
        yield fail(subject, "does not exist", gcloud(clients.project, *create))
        return
    if (found_s := found.message_retention_duration.total_seconds()) != retention_s:
        update = ["pubsub", "topics", "update", name, flag if retention_s else "--clear-message-retention-duration"]
        message = f"can be replayed for {duration(found_s)}, not {duration(retention_s)}"
        yield warn(subject, message, gcloud(clients.project, *update))
    else:
        yield ok(subject, f"exists, can be replayed for {duration(retention_s)}" if retention_s else "exists")
