"""The inbox: a subscription to the responses, its life, and what is read from it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from client.gcp import CALL_TIMEOUT_S, Cloud, patience
from client.text import brief, plain
from functions.messages.contract import Response, decode_response

RETENTION_S = 3600
EXPIRY_S = 86400
"""A subscription that a killed client left behind goes away by itself: a day is the least that Pub/Sub allows."""

_OUTSTANDING = 500
"""Responses held at once, of at most some 100 kB each."""

_REPLY_TO_FILTER = re.compile(r'\s*attributes\.reply_to\s*=\s*"([^"\\]+)"\s*')


class Inbox:
    """Receives the responses that are for one client, from its own subscription or from one made beforehand.

    Own subscriptions are filtered by `reply_to` (unless `everyone`), made on entering and deleted on leaving. `deliver`
    gets each response, `broken` why there can be no more; both are called from other threads.
    """

    def __init__(
        self,
        cloud: Cloud,
        deliver: Callable[[Response], None],
        broken: Callable[[str], None],
        say: Callable[[str], None],
        *,
        subscription: str = "",
        everyone: bool = False,
    ) -> None:
        self.client_id = uuid.uuid4().hex
        self._cloud, self._deliver, self._broken, self._say = cloud, deliver, broken, say
        self._own, self._everyone = not subscription, everyone
        short = cloud.response_topic.rpartition("/")[2]
        self.path = cloud.subscription_path(subscription or f"{short}-{self.client_id}")
        self._client: Any = None
        self._stream: Any = None
        self._made = False

    def __enter__(self) -> Self:
        from google.cloud import pubsub_v1

        from functions.gcp.subscriber import subscriber  # imports Google's client, which takes a moment

        self._client = subscriber()
        try:
            if self._own:
                self._create()
            else:
                self._adopt()
            flow = pubsub_v1.types.FlowControl(max_messages=_OUTSTANDING)
            self._stream = self._client.subscribe(self.path, self._receive, flow_control=flow)
            self._stream.add_done_callback(self._ended)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _create(self) -> None:
        request = {
            "name": self.path,
            "topic": self._cloud.topic_path(self._cloud.response_topic),
            "ack_deadline_seconds": 60,
            "message_retention_duration": {"seconds": RETENTION_S},
            "expiration_policy": {"ttl": {"seconds": EXPIRY_S}},
            "filter": "" if self._everyone else f'attributes.reply_to = "{self.client_id}"',
        }
        self._client.create_subscription(request=request, retry=patience(), timeout=CALL_TIMEOUT_S)
        self._made = True

    def _adopt(self) -> None:
        """A subscription made beforehand may be filtered: then its filter says who this client is."""
        from google.api_core.exceptions import PermissionDenied

        request = {"subscription": self.path}
        try:
            found = self._client.get_subscription(request=request, retry=patience(), timeout=CALL_TIMEOUT_S)
        except PermissionDenied:
            return
        if match := _REPLY_TO_FILTER.fullmatch(found.filter):
            self.client_id = match[1]

    def _receive(self, message: Any) -> None:
        """Not every server applies filters, so the address is looked at here too. What is no response is dropped."""
        if self._everyone or message.attributes.get("reply_to") == self.client_id:
            try:
                self._deliver(decode_response(message.data, message.attributes))
            except ValueError as exc:
                asked = message.attributes.get("request_id", "unknown")
                self._say(f"dropped a message that is no response (request {brief(asked)}): {brief(str(exc))}")
        message.ack()

    def _ended(self, stream: Any) -> None:
        if not stream.cancelled() and (exc := stream.exception()):
            self._broken(f"responses can no longer be received: {plain(exc)}")

    def _close(self) -> None:
        try:
            if self._stream:
                self._stream.cancel()
                # The last acks are sent while it ends; the channel must still be there.
                with suppress(Exception):
                    self._stream.result(CALL_TIMEOUT_S)
            if self._own:
                request = {"subscription": self.path}
                self._client.delete_subscription(request=request, retry=None, timeout=CALL_TIMEOUT_S)
        except Exception as exc:
            # Where making it failed it may be there all the same, but that was said already.
            if self._made and type(exc).__name__ != "NotFound":
                self._say(f"{self.path} could not be deleted ({plain(exc)}); it expires after a day")
        finally:
            self._client.close()
