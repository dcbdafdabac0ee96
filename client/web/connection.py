"""The connection of one job of the page: to its topics with a response subscription, or to an HTTP endpoint."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from client import emulators
from client.gcp import Cloud
from client.jobs.job import Job
from client.results.request_tracker import Requests
from client.transport.base import Transport
from client.transport.bucket import Bucket, BucketTransport
from client.transport.http import HttpTransport
from client.transport.pubsub_publisher import PubSubPublisher
from client.transport.response_subscription import ResponseSubscription
from client.transport.topic import TopicTransport
from client.web.settings import Settings
from functions.messages.contract import Response

log = logging.getLogger(__name__)

TIMEOUT_S = 60.0
"""Seconds that a reply over HTTP is waited for."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A transport. `is_new`: the subscription did not exist, so responses to what was sent before are lost."""

    transport: Transport
    is_new: bool = False


@contextmanager
def connected(
    job: Job,
    settings: Settings,
    requests: Requests,
    on_response: Callable[[Response], None],
    on_end: Callable[[str], None],
) -> Iterator[Connection]:
    """Connect as the job's definition says. `on_end` gets the reason when no more responses can be received.

    The subscription outlives the block while responses are missing. Raises UsageError and SendError.
    """
    made = job.definition
    if made.command == "predict":
        yield Connection(HttpTransport(made.url, requests, TIMEOUT_S, made.options, settings.token))
        return
    cloud = Cloud(made.project, made.topic, made.response_topic)
    emulators.check_answers(emulators.PUBSUB, *([emulators.STORAGE] if made.bucket else []))
    responses = ResponseSubscription(
        cloud,
        on_response,
        on_end,
        log.warning,
        client_id=made.client_id,
        keep=lambda: job.counts().unanswered > 0 and not job.is_cancelled,
        journal=job,
    )
    with responses, ExitStack() as stack:
        bucket = Bucket(cloud, made.bucket) if made.bucket else None
        if bucket:
            stack.callback(bucket.close)
        if made.command == "upload":
            assert bucket
            transport: Transport = BucketTransport(bucket, requests, made.options, responses.client_id, made.prefix)
        else:
            publisher = PubSubPublisher(cloud)
            stack.callback(publisher.close)
            transport = TopicTransport(
                publisher, requests, made.options, responses.client_id, bucket, settings.inline_limit
            )
        yield Connection(transport, responses.is_new)
