"""The three entry points, used through the client's own modules; the demo and the smoke test send images with them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from contextlib import ExitStack

from client.gcp import Cloud
from client.image_files import Picture
from client.results.request_tracker import RequestTracker
from client.transport import send_pool
from client.transport.bucket import THREADS as UPLOADERS
from client.transport.bucket import Uploader, object_names
from client.transport.http import THREADS as ASKERS
from client.transport.http import Asker
from client.transport.response_subscription import Inbox
from client.transport.topic import THREADS as SENDERS
from client.transport.topic import Bucket, Sender, Wishes

# Starts sending images. The request tracker gets each outcome, and the stack closes what was opened. May raise.
EntryPoint = Callable[[Collection[Picture], RequestTracker, ExitStack], None]


def topic(cloud: Cloud) -> EntryPoint:
    """Publish images on the request topic."""

    def send(pictures: Collection[Picture], tracker: RequestTracker, stack: ExitStack) -> None:
        inbox = stack.enter_context(Inbox(cloud, tracker.offer, tracker.give_up, complain))
        sender = Sender(cloud, tracker, Wishes(), inbox.client_id, None)
        stack.callback(sender.close)
        send_pool.start(pictures, sender.send, tracker, SENDERS)

    return send


def bucket(cloud: Cloud, name: str, folder: str) -> EntryPoint:
    """Upload images to the watched bucket, under `folder`."""

    def send(pictures: Collection[Picture], tracker: RequestTracker, stack: ExitStack) -> None:
        inbox = stack.enter_context(Inbox(cloud, tracker.offer, tracker.give_up, complain))
        watched = Bucket(cloud, name)
        stack.callback(watched.close)
        uploader = Uploader(watched, tracker, Wishes(), inbox.client_id, object_names(list(pictures), f"{folder}/"))
        send_pool.start(pictures, uploader.send, tracker, UPLOADERS)

    return send


def http(url: str, timeout_s: float, token: Callable[[], str] = str) -> EntryPoint:
    """Post images to the HTTP endpoint at `url`, with `timeout_s` for each; `token` returns an identity token or ""."""

    def send(pictures: Collection[Picture], tracker: RequestTracker, stack: ExitStack) -> None:
        send_pool.start(pictures, Asker(url, tracker, Wishes(), timeout_s, token()).send, tracker, ASKERS)

    return send


def complain(text: str) -> None:
    """Print a message for the user."""
    print(text, file=sys.stderr, flush=True)
