"""Push delivery: messages posted to an endpoint, wrapped or bare, slowly at first, faster while acked."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
from typing import Any

from infra.local.pubsub.delivery import Backlog
from infra.local.pubsub.lease import Lease
from infra.local.pubsub.post import Poster
from infra.local.pubsub.token import Tokens

ACKED = frozenset({102, 200, 201, 202, 204})
"""The statuses that acknowledge a message; every other one, and no answer, is a nack."""

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")
_OWN_HEADERS = re.compile(
    "accept|authorization|connection|content-length|expect|from|host|te|trailer|transfer-encoding|upgrade|user-agent|"
    "x-goog-.*",
    re.I,
)
_VALUE_LIMIT = 1024
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
        self._poster = Poster(self.endpoint)
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._window = _FIRST_WINDOW
        self._pumping = False
        self._failing = False
        self._closed = False
        backlog.join(self)

    def wake(self) -> None:
        """Pump soon, once for however many calls."""
        if not self._pumping and not self._closed:
            self._pumping = True
            self._loop.call_soon(self._pump)

    def settled(self, size: int) -> None:
        """Nothing to do: a push ends with its request."""

    def close(self) -> None:
        """Take no more messages; requests that are out are still heard."""
        if not self._closed:
            self._closed = True
            self._backlog.leave(self)
            self._poster.close()

    def _pump(self) -> None:
        self._pumping = False
        while not self._closed and len(self._tasks) < self._window:
            # A second over the request's own timeout, so that the answer, not the lease, decides.
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
            body = lease.held.message.data
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
                _log.warning("push to %s failed (%s); it is retried", self.endpoint, outcome)
        self._failing = not acked


def wrap(lease: Lease, subscription: str, *, counted: bool) -> bytes:
    """The body of a push request; `counted`: with deliveryAttempt, as there is a dead-letter policy."""
    message, published = lease.held.message, lease.held.message.publish_time.ToJsonString()
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
    """The headers of an unwrapped push: the message's own under x-goog-pubsub-, its attributes under their names.

    An attribute that cannot be a header, is too long for one or would replace one of ours stays behind.
    """
    message = lease.held.message
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
    # A key may hold anything, line ends too.
    if message.ordering_key.isprintable() and message.ordering_key:
        headers["x-goog-pubsub-ordering-key"] = message.ordering_key
    if counted:
        headers["x-goog-pubsub-delivery-attempt"] = str(lease.held.attempts)
    return headers
