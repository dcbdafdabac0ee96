"""The three entry points of a deployment, opened with the client's transports for the demo and the smoke test."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext

from client.gcp import Cloud
from client.images import Image
from client.results.request_tracker import Outcome, RequestTracker
from client.transport.base import SendOptions, Transport, send_all
from client.transport.bucket import open_bucket
from client.transport.http import HttpTransport
from client.transport.response_subscription import ResponseSubscription
from client.transport.topic import open_topic

# Opens the transport of an entry point for these images. The request tracker gets their outcomes. May raise.
EntryPoint = Callable[[Collection[Image], RequestTracker], AbstractContextManager[Transport]]


def topic(cloud: Cloud) -> EntryPoint:
    """Return the request topic."""
    return lambda images, tracker: open_topic(cloud, tracker, _responses(cloud, tracker))


def bucket(cloud: Cloud, name: str, folder: str) -> EntryPoint:
    """Return the watched bucket; the images are uploaded to `folder`."""
    return lambda images, tracker: open_bucket(cloud, name, tracker, _responses(cloud, tracker), prefix=f"{folder}/")


def http(url: str, timeout_s: float, token: Callable[[], str] = str) -> EntryPoint:
    """Return the HTTP endpoint at `url`. `token` returns the identity token, empty where none is needed."""
    return lambda images, tracker: nullcontext(HttpTransport(url, tracker, timeout_s, SendOptions(), token()))


def send_through(entry_point: EntryPoint, images: Collection[Image], timeout_s: float) -> list[Outcome]:
    """Send images through an entry point and return their outcomes."""
    tracker = RequestTracker()
    with entry_point(images, tracker) as transport:
        return list(send_all(transport, images, tracker, timeout_s))


def complain(text: str) -> None:
    """Print a message on stderr."""
    print(text, file=sys.stderr, flush=True)


def _responses(cloud: Cloud, tracker: RequestTracker) -> ResponseSubscription:
    return ResponseSubscription(cloud, tracker.receive, tracker.abort, complain)
