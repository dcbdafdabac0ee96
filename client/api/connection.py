"""The connection of a client: to the topics with one response subscription, or to an HTTP endpoint."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager

from client.api.calls import Calls
from client.api.errors import PredictionsError
from client.gcp import RETRY_S, Cloud, broker_address
from client.results.request_tracker import Tracker
from client.transport.base import SendOptions, Transport
from client.transport.broker import broker_of, check_reachable
from client.transport.bucket import Bucket
from client.transport.http import HttpTransport
from client.transport.topic import TopicTransport, inline_limit

log = logging.getLogger(__name__)

MakeTransport = Callable[[Tracker, SendOptions], Transport]
"""Creates the transport of one call. The calls of a client share its connection."""

Connection = AbstractContextManager[MakeTransport]


def connection_to(
    calls: Calls,
    environ: Mapping[str, str],
    timeout_s: float,
    *,
    project: str | None,
    broker: str | None,
    topic: str | None,
    response_topic: str | None,
    subscription: str | None,
    bucket: str | None,
    url: str | None,
    token: str | None,
) -> Connection:
    """Return the connection, not opened yet, that the arguments of a client and the environment name.

    Raises ValueError for arguments that contradict each other, PredictionsError without a project, and UsageError.
    """
    of_topics = {
        "project": project,
        "broker": broker,
        "topic": topic,
        "response_topic": response_topic,
        "subscription": subscription,
        "bucket": bucket,
    }
    if url is not None:
        if given := [name for name, value in of_topics.items() if value is not None]:
            raise ValueError(f"{given[0]} is given together with url; an HTTP endpoint uses no topic and no bucket")
        if not url.strip():
            raise ValueError(f"url is {url!r}; it must be an address such as http://127.0.0.1:8080")
        return _endpoint(url, token or environ.get("ENDPOINT_TOKEN"), timeout_s)
    if token is not None:
        raise ValueError("token is given without url; only an HTTP endpoint takes one")
    cloud = cloud_of(environ, project, broker, topic, response_topic)
    if not cloud.project and not cloud.broker:
        raise PredictionsError("no project is set: give project, or set GOOGLE_CLOUD_PROJECT")
    payload_bucket = payload_bucket_of(environ, bucket)
    return _topics(calls, cloud, subscription or "", payload_bucket, inline_limit(environ), timeout_s)


def cloud_of(
    environ: Mapping[str, str],
    project: str | None,
    broker: str | None,
    topic: str | None,
    response_topic: str | None,
) -> Cloud:
    """Return the project, which is "" where none is set, the broker and the topics. Raises ValueError."""
    names = {
        "broker": broker_address(broker or environ.get("PREDICTIONS_BROKER", "")),
        "kafka_config": os.path.abspath(config) if (config := environ.get("KAFKA_CONFIG")) else "",
        "topic": topic or environ.get("REQUEST_TOPIC"),
        "response_topic": response_topic or environ.get("RESPONSE_TOPIC"),
    }
    return Cloud(
        project or environ.get("GOOGLE_CLOUD_PROJECT", ""), **{name: value for name, value in names.items() if value}
    )


def payload_bucket_of(environ: Mapping[str, str], bucket: str | None) -> str:
    """Return the bucket for large images, "" where none is set."""
    return bucket or environ.get("PAYLOAD_BUCKET", "")


@contextmanager
def _topics(
    calls: Calls, cloud: Cloud, subscription: str, payload_bucket: str, limit: int, timeout_s: float
) -> Iterator[MakeTransport]:
    """Open what receives the responses, and a publisher. Raises UsageError, SendError and Google's exceptions."""
    check_reachable(cloud, bucket=payload_bucket)
    broker = broker_of(cloud)
    responses = broker.responses(
        calls.receive, calls.fail, log.warning, subscription=subscription, retry_s=min(RETRY_S, timeout_s)
    )
    with responses, ExitStack() as stack:
        bucket = Bucket(cloud, payload_bucket) if payload_bucket else None
        if bucket:
            stack.callback(bucket.close)
        publisher = broker.publisher()
        stack.callback(publisher.close)
        yield lambda tracker, options: TopicTransport(publisher, tracker, options, responses.client_id, bucket, limit)


@contextmanager
def _endpoint(url: str, token: str | None, timeout_s: float) -> Iterator[MakeTransport]:
    """Post to an HTTP endpoint. Each image has a connection of its own."""
    yield lambda tracker, options: HttpTransport(url, tracker, timeout_s, options, token)
