"""The subscription on which the client receives responses: its own, or one that exists already."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from client.gcp import CALL_TIMEOUT_S, RETRY_S, Cloud, pubsub_retry
from client.text import SendError, StoreError, plain
from client.transport.receiving import Decode, Journal, pass_on

ACK_DEADLINE_S = 20
"""Seconds to ack a response. Google's library extends the lease of one that is held longer, as by a slow terminal. The
responses that a killed client held are delivered again after this time."""

RETENTION_S = 604_800
"""Seconds that Pub/Sub keeps unacked responses: a week, so that a job can be resumed after a weekend."""

EXPIRY_S = 691_200
"""Seconds without a client after which Pub/Sub deletes the subscription, which must be more than RETENTION_S. It
removes what a killed client left behind."""

_MAX_OUTSTANDING = 500
"""Responses in memory at the same time, each of about 100 kB at most."""

_REPLY_TO_FILTER = re.compile(r'\s*attributes\.reply_to\s*=\s*"([^"\\]+)"\s*')


class ResponseSubscription:
    """Receives the responses for one client; a context manager.

    By default it creates a subscription with a filter on `reply_to` and deletes it at the end, unless `keep` returns
    True then. A later one with the same `client_id` uses what was kept; `is_new` tells whether it had to be created
    again, and with `must_exist` that is an error. `all_clients` leaves the filter out. `subscription` names an existing
    subscription to use instead. `on_response` gets each response, and `on_failure` the reason why no more can arrive;
    both are called from other threads. A response is acked when `on_response` returns, and nacked when it raises
    OSError; with a `journal` not before that is saved. `log` prints a message. `decode` reads a message, or raises
    ValueError, and `on_response` gets what it returns. Without it, these are the responses to images, alone and in
    lists, and answers to training requests are left out.
    """

    def __init__(
        self,
        cloud: Cloud,
        on_response: Callable[[Any], None],
        on_failure: Callable[[str], None],
        log: Callable[[str], None],
        *,
        subscription: str = "",
        all_clients: bool = False,
        retry_s: float = RETRY_S,
        client_id: str = "",
        keep: Callable[[], bool] = bool,
        must_exist: bool = False,
        journal: Journal | None = None,
        decode: Decode | None = None,
    ) -> None:
        self.client_id, self._may_exist = client_id or uuid.uuid4().hex, bool(client_id)
        self._keep, self._must_exist, self.is_new = keep, must_exist, False
        self._decode = decode
        self._cloud, self._on_response, self._on_failure, self._log = cloud, on_response, on_failure, log
        self._temporary, self._all_clients, self._journal = not subscription, all_clients, journal
        self._limits = {"retry": pubsub_retry(retry_s), "timeout": min(CALL_TIMEOUT_S, retry_s)}
        short = cloud.response_topic.rpartition("/")[2]
        self.path = cloud.subscription_path(subscription or f"{short}-{self.client_id}")
        self._client: Any = None
        self._stream: Any = None
        self._created = False

    def __enter__(self) -> Self:
        from google.cloud import pubsub_v1

        from functions.gcp.subscriber import AnySizeTransport  # imports Google's library, which takes a moment

        self._client = pubsub_v1.SubscriberClient(transport=AnySizeTransport)
        try:
            if self._temporary and self._must_exist:
                self._read_client_id()
                self._created = True
            elif self._temporary:
                self._create()
            else:
                self._read_client_id()
            flow = pubsub_v1.types.FlowControl(
                max_messages=_MAX_OUTSTANDING, max_duration_per_lease_extension=ACK_DEADLINE_S
            )
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
        from google.api_core.exceptions import AlreadyExists, GoogleAPIError

        request: dict[str, Any] = {
            "name": self.path,
            "topic": self._cloud.topic_path(self._cloud.response_topic),
            "ack_deadline_seconds": ACK_DEADLINE_S,
            "message_retention_duration": {"seconds": RETENTION_S},
            "expiration_policy": {"ttl": {"seconds": EXPIRY_S}},
            "filter": "" if self._all_clients else f'attributes.reply_to = "{self.client_id}"',
        }
        try:
            self._client.create_subscription(request=request, **self._limits)
            self.is_new = True
        except GoogleAPIError as exc:
            if not (isinstance(exc, AlreadyExists) and self._may_exist):
                raise SendError(
                    f"no subscription for responses can be created: {plain(exc, request['topic'])}"
                ) from exc
        self._created = True

    def _read_client_id(self) -> None:
        """Take the client id from the filter of an existing subscription, if it has one and may be read."""
        from google.api_core.exceptions import GoogleAPIError, PermissionDenied

        request = {"subscription": self.path}
        try:
            found = self._client.get_subscription(request=request, **self._limits)
        except PermissionDenied:
            return
        except GoogleAPIError as exc:
            raise SendError(f"the subscription cannot be read: {plain(exc, self.path)}") from exc
        if match := _REPLY_TO_FILTER.fullmatch(found.filter):
            self.client_id = match[1]

    def _receive(self, message: Any) -> None:
        """Pass a message on as a response. Checks `reply_to` again, because not every server applies filters."""
        reply_to = None if self._all_clients else self.client_id
        try:
            pass_on(
                message.data,
                message.attributes,
                self._on_response,
                self._log,
                reply_to=reply_to,
                decode=self._decode,
            )
        except OSError:
            message.nack()
            return
        if self._journal:
            self._journal.when_saved(message.ack)
        else:
            message.ack()

    def _ended(self, stream: Any) -> None:
        if not stream.cancelled() and (exc := stream.exception()):
            self._on_failure(f"responses can no longer be received: {plain(exc)}")

    def _save(self) -> bool:
        """Whether all responses are saved. Those that are not stay on the subscription."""
        try:
            if self._journal:
                self._journal.save()
        except StoreError as exc:
            self._on_failure(plain(exc))
            return False
        return True

    def _close(self) -> None:
        try:
            is_saved = self._save()
            if self._stream:
                self._stream.cancel()
                # The stream sends its last acks while it ends, so the channel must still be open.
                with suppress(Exception):
                    self._stream.result(CALL_TIMEOUT_S)
            if is_saved and self._save() and self._temporary and not (self._created and self._keep()):
                request = {"subscription": self.path}
                timeout_s = self._limits["timeout"]
                self._client.delete_subscription(request=request, retry=None, timeout=timeout_s)
        except Exception as exc:
            # After a failed creation the subscription may exist all the same, but that error was reported already.
            if self._created and type(exc).__name__ != "NotFound":
                self._log(f"{self.path} could not be deleted ({plain(exc)}); it expires after eight days")
        finally:
            self._client.close()
