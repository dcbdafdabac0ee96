"""Push delivery: posts messages to an endpoint, wrapped or unwrapped, with a window that grows with acks."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
from typing import Any

from infra.local.pubsub.delivery import Backlog
from infra.local.pubsub.http_client import HttpClient
from infra.local.pubsub.lease import Lease
from infra.local.pubsub.token import Tokens

# Statuses that ack a message. Any other status, or no response, is a nack.
ACKED = frozenset({102, 200, 201, 202, 204})

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")
_OWN_HEADERS = re.compile(
    "accept|authorization|connection|content-length|expect|from|host|te|trailer|transfer-encoding|upgrade|user-agent|"
    "x-goog-.*",
    re.I,
)
# Bytes of an attribute that is sent as a header.
_VALUE_LIMIT = 1024

# Concurrent requests at the start and at most.
_FIRST_WINDOW, _LAST_WINDOW = 4.0, 100.0
_log = logging.getLogger("infra.local.pubsub")


class Pusher:
    """Pushes one subscription's messages as its PushConfig says, until it is closed."""

    pushes = True

    def __init__(self, subscription: str, config: Any, backlog: Backlog, tokens: Tokens) -> None:
        self.config = config
        self.endpoint: str = config.push_endpoint
        self._subscription = subscription
        self._backlog = backlog
        self._tokens = tokens
        self._poster = HttpClient(self.endpoint)
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._window = _FIRST_WINDOW
        self._pumping = False
        self._failing = False
        self._closed = False
        backlog.join(self)

    def wake(self) -> None:
        """Schedule one pump, however often it is called."""
        if not self._pumping and not self._closed:
            self._pumping = True
            self._loop.call_soon(self._pump)

    def settled(self, size: int) -> None:
        """Do nothing: a push ends with its request."""

    def close(self) -> None:
        """Take no more messages; the responses to open requests still count."""
        if not self._closed:
            self._closed = True
            self._backlog.leave(self)
            self._poster.close()

    def _pump(self) -> None:
        self._pumping = False
        while not self._closed and len(self._tasks) < self._window:
            # One second more than the request's timeout, so that the response decides before the lease expires.
            leases = self._backlog.take(self, 1, deadline_s=self._backlog.policy.ack_deadline_s + 1)
            if not leases:
                return
            task = self._loop.create_task(self._push(leases[0]))
            self._tasks.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self.wake()

    async def _push(self, lease: Lease) -> None:
        counted = self._backlog.policy.max_attempts > 0
        if self.config.HasField("no_wrapper"):
            body = lease.held.message.parse().data
            headers = metadata(lease, self._subscription, counted) if self.config.no_wrapper.write_metadata else {}
        else:
            body = wrap(lease, self._subscription, counted=counted)
            headers = {"Content-Type": "application/json"}
        if self.config.HasField("oidc_token"):
            identity = self.config.oidc_token
            token = self._tokens.bearer(identity.service_account_email, identity.audience or self.endpoint)
            headers["Authorization"] = f"Bearer {token}"
        try:
            async with asyncio.timeout(self._backlog.policy.ack_deadline_s):
                status = await self._poster.post(body, headers)
            acked, outcome = status in ACKED, f"HTTP {status}"
        except (OSError, ValueError, asyncio.IncompleteReadError) as exc:  # TimeoutError is an OSError
            acked, outcome = False, str(exc) or type(exc).__name__
        if acked:
            self._backlog.ack([lease.ack_id])
            self._window = min(_LAST_WINDOW, self._window + 1)
        else:
            self._backlog.modify([lease.ack_id], [0])
            self._window = max(1.0, self._window / 2)
            if not self._failing:
                _log.warning("push to %s failed (%s); it will be retried", self.endpoint, outcome)
        self._failing = not acked


def wrap(lease: Lease, subscription: str, *, counted: bool) -> bytes:
    """The body of a push request; `counted` adds deliveryAttempt, for subscriptions with a dead-letter policy."""
    message = lease.held.message.parse()
    published = message.publish_time.ToJsonString()
    wrapped: dict[str, Any] = {
        "messageId": message.message_id,
        "message_id": message.message_id,
        "publishTime": published,
        "publish_time": published,
    }
    if message.data:
        wrapped["data"] = base64.b64encode(message.data).decode()
    if message.attributes:
        wrapped["attributes"] = dict(message.attributes)
    if message.ordering_key:
        wrapped["orderingKey"] = message.ordering_key
    body: dict[str, Any] = {"message": wrapped, "subscription": subscription}
    if counted:
        body["deliveryAttempt"] = lease.held.attempts
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def metadata(lease: Lease, subscription: str, counted: bool) -> dict[str, str]:
    """The headers of an unwrapped push: metadata under x-goog-pubsub-, and attributes under their own names.

    An attribute is left out when it is not a valid header, is too long, or has the name of one of this client's.
    """
    message = lease.held.message.parse()
    headers = {
        key: value
        for key, value in message.attributes.items()
        if _HEADER.fullmatch(key)
        and not _OWN_HEADERS.fullmatch(key)
        and len(value.encode()) <= _VALUE_LIMIT
        and value.isprintable()
    }
    headers["x-goog-pubsub-subscription-name"] = subscription
    headers["x-goog-pubsub-message-id"] = message.message_id
    headers["x-goog-pubsub-publish-time"] = message.publish_time.ToJsonString()
    # An ordering key may hold any characters, even line breaks.
    if message.ordering_key.isprintable() and message.ordering_key:
        headers["x-goog-pubsub-ordering-key"] = message.ordering_key
    if counted:
        headers["x-goog-pubsub-delivery-attempt"] = str(lease.held.attempts)
    return headers
