"""The reasons of dead letters, from the `unavailable` responses that announced them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from client.gcp import CALL_TIMEOUT_S, Cloud, pubsub_retry
from client.text import plain
from client.transport.response_subscription import ACK_DEADLINE_S, EXPIRY_S
from functions.errors import UNAVAILABLE
from functions.messages.contract import DEAD_LETTER, decode_response

_QUIET_S = 3.0
"""Seconds without another response after which the topic has no more."""

_MOST_S = 30.0
"""Seconds of the search. A topic may keep a day of responses, and most are not wanted."""

_PAGE = 500
"""Responses of one pull, each of 100 kB at most."""


def find_reasons(
    cloud: Cloud, request_ids: Iterable[str], since: datetime, log: Callable[[str], None]
) -> dict[str, str]:
    """Return the announced reasons by request id, as far as the response topic keeps announcements since `since`.

    A temporary subscription is created, moved back in time and deleted. Where that fails, `log` gets a message, and no
    reason is known.
    """
    from google.api_core.exceptions import GoogleAPIError

    wanted = set(request_ids)
    if not wanted:
        return {}
    try:
        return _search(cloud, wanted, since, log)
    except GoogleAPIError as exc:
        topic = cloud.topic_path(cloud.response_topic)
        log(f"reasons are unknown: the announcements cannot be read ({plain(exc, topic)})")
        return {}


def reason(data: bytes) -> tuple[str, str] | None:
    """Return the request id and the reason of an announcement that states one, or None for any other message."""
    try:
        response = decode_response(data)
    except ValueError:
        return None
    error = response.error
    if error is None or error.code != UNAVAILABLE or not error.message.startswith(f"{DEAD_LETTER}: "):
        return None
    return response.request_id, error.message.removeprefix(f"{DEAD_LETTER}: ")


def _search(cloud: Cloud, wanted: set[str], since: datetime, log: Callable[[str], None]) -> dict[str, str]:
    from functions.gcp.subscriber import subscriber  # imports Google's library, which takes a moment

    client = subscriber()
    short = cloud.response_topic.rpartition("/")[2]
    path = cloud.subscription_path(f"{short}-{uuid.uuid4().hex}")
    limits = {"retry": pubsub_retry(), "timeout": CALL_TIMEOUT_S}
    request = {
        "name": path,
        "topic": cloud.topic_path(cloud.response_topic),
        "ack_deadline_seconds": ACK_DEADLINE_S,
        "expiration_policy": {"ttl": {"seconds": EXPIRY_S}},
        "filter": 'attributes.status = "error"',
    }
    try:
        client.create_subscription(request=request, **limits)
        try:
            client.seek(request={"subscription": path, "time": since - timedelta(minutes=1)}, **limits)
            return _read(client, path, wanted)
        finally:
            try:
                client.delete_subscription(subscription=path, retry=None, timeout=CALL_TIMEOUT_S)
            except Exception as exc:
                log(f"{path} could not be deleted ({plain(exc)}); it expires after a day")
    finally:
        client.transport.close()


def _read(client: Any, path: str, wanted: set[str]) -> dict[str, str]:
    """Return the newest reason of each wanted request id."""
    from google.api_core.exceptions import DeadlineExceeded

    found: dict[str, str] = {}
    until = time.monotonic() + _MOST_S
    with suppress(DeadlineExceeded):
        while wanted - found.keys() and time.monotonic() < until:
            pulled = client.pull(subscription=path, max_messages=_PAGE, retry=None, timeout=_QUIET_S)
            if not (received := pulled.received_messages):
                break
            client.acknowledge(subscription=path, ack_ids=[each.ack_id for each in received], timeout=CALL_TIMEOUT_S)
            read = (reason(each.message.data) for each in received)
            found |= {pair[0]: pair[1] for pair in read if pair and pair[0] in wanted}
    return found
