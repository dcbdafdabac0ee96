"""The three entry points as the client's own parts use them: what the demo and the smoke test send images through."""

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

EntryPoint = Callable[[Collection[Picture], RequestTracker, ExitStack], None]
"""Begins to send pictures; the request tracker hears how each ends, and the stack closes what was opened. May raise."""


def topic(cloud: Cloud) -> EntryPoint:
    """Published on the request topic."""

    def send(pictures: Collection[Picture], tracker: RequestTracker, stack: ExitStack) -> None:
        inbox = stack.enter_context(Inbox(cloud, tracker.offer, tracker.give_up, complain))
        sender = Sender(cloud, tracker, Wishes(), inbox.client_id, None)
        stack.callback(sender.close)
        send_pool.start(pictures, sender.send, tracker, SENDERS)

    return send


def bucket(cloud: Cloud, name: str, folder: str) -> EntryPoint:
    """Dropped in the watched bucket, under `folder`."""

    def send(pictures: Collection[Picture], tracker: RequestTracker, stack: ExitStack) -> None:
        inbox = stack.enter_context(Inbox(cloud, tracker.offer, tracker.give_up, complain))
        watched = Bucket(cloud, name)
        stack.callback(watched.close)
        uploader = Uploader(watched, tracker, Wishes(), inbox.client_id, object_names(list(pictures), f"{folder}/"))
        send_pool.start(pictures, uploader.send, tracker, UPLOADERS)

    return send


def http(url: str, timeout_s: float, token: Callable[[], str] = str) -> EntryPoint:
    """Posted to the HTTP endpoint at `url`, each answered within `timeout_s`; `token` says who we are, if anybody."""

    def send(pictures: Collection[Picture], tracker: RequestTracker, stack: ExitStack) -> None:
        send_pool.start(pictures, Asker(url, tracker, Wishes(), timeout_s, token()).send, tracker, ASKERS)

    return send


def complain(text: str) -> None:
    """A sentence for people."""
    print(text, file=sys.stderr, flush=True)
