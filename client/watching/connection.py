"""Connects a watched folder to its topics, and connects again when the broker or the job store fails for a while."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from client.gcp import Cloud
from client.jobs.hold import held
from client.jobs.job import Job
from client.results.output import Messages
from client.text import SendError, StoreError, brief, plain
from client.transport.base import Publisher, SendOptions
from client.transport.broker import broker_of
from client.transport.bucket import Bucket
from client.transport.topic import TopicTransport
from client.watching.backoff import Backoff
from client.watching.folder_watch import Disconnected, FolderWatch
from client.watching.publishing import Publishing, Untracked

_STABLE_S = 60.0
"""Seconds that a connection must last for the next pause to be a short one."""


@dataclass(frozen=True, slots=True)
class Route:
    """How requests are sent: the topics, the options of each request, and the bucket for large images."""

    cloud: Cloud
    options: SendOptions
    payload_bucket: str
    inline_limit: int


def watch_steadily(watch: FolderWatch, job: Job, route: Route, messages: Messages, *, once: bool) -> bool:
    """Watch until Ctrl-C, or with `once` until all files are answered. Returns False when the job was cancelled.

    Raises SendError and StoreError when the first connection fails, and UsageError when another command has the job.
    """
    backoff, was_connected, publisher = Backoff(), False, broker_of(route.cloud).publisher()
    while True:
        began = time.monotonic()
        try:
            with _connected(watch, job, route, messages, publisher) as publishing:
                if not was_connected:
                    before = f"{job.counts().answered:,} images answered before"
                    messages.show(f"watching {brief(str(watch.folder))} as job {job.id}, {before}; Ctrl-C ends it")
                was_connected = True
                watch.notices.end("connection", "the connection is there again")
                watch.watch(publishing, once=once)
                return True
        except (Disconnected, SendError, StoreError) as exc:
            if not was_connected:
                raise
            if job.is_cancelled:
                messages.show(f"job {job.id} was cancelled")
                return False
            if time.monotonic() - began > _STABLE_S:
                backoff.succeeded()
            backoff.failed()
            watch.notices.begin("connection", f"{plain(exc)}; it is tried again until it succeeds")
            time.sleep(backoff.left_s)


@contextmanager
def _connected(
    watch: FolderWatch, job: Job, route: Route, messages: Messages, publisher: Publisher
) -> Iterator[Publishing]:
    definition = job.definition
    watch.begin()
    responses = broker_of(route.cloud).responses(
        watch.receive,
        watch.end,
        messages.show,
        subscription=definition.subscription,
        client_id=definition.client_id,
        keep=lambda: not job.is_cancelled and job.counts().unanswered > 0,
    )
    with held(job, watch.end), responses:
        bucket = Bucket(route.cloud, route.payload_bucket) if route.payload_bucket else None
        transport = TopicTransport(
            publisher, Untracked(), route.options, responses.client_id, bucket, route.inline_limit
        )
        if responses.is_new and (unanswered := job.counts().unanswered):
            messages.show(f"the job's subscription is gone: {unanswered:,} images are sent again")
            job.retry(unanswered=True)
        publishing = Publishing(transport, job, watch.failed, watch.notices)
        try:
            yield publishing
        finally:
            watch.end("the connection is closed")
            publishing.stop()
