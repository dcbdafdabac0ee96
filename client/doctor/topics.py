"""Topics: there, and replayable for as long as they should be."""

from __future__ import annotations

from collections.abc import Iterator

from client.doctor.clients import Clients
from client.doctor.finding import Finding, fail, ok, warn
from client.doctor.gcloud import gcloud
from client.doctor.settings import duration, short
from client.doctor.wanted import Topic


def check_topic(clients: Clients, wanted: Topic) -> Iterator[Finding]:
    """One line."""
    name, kept = short(wanted.name), wanted.retention_s
    what, flag = f"topic {name}", f"--message-retention-duration={duration(kept)}"
    found = clients.topic(wanted.name)
    if found is None:
        create = ["pubsub", "topics", "create", name, *([flag] if kept else [])]
        yield fail(what, "is not there", gcloud(clients.project, *create))
        return
    if (held := found.message_retention_duration.total_seconds()) != kept:
        update = ["pubsub", "topics", "update", name, flag if kept else "--clear-message-retention-duration"]
        said = f"can be replayed for {duration(held)}, not {duration(kept)}"
        yield warn(what, said, gcloud(clients.project, *update))
    else:
        yield ok(what, f"is there, can be replayed for {duration(kept)}" if kept else "is there")
