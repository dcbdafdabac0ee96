"""Google's clients behind the service's own words: where images come from, where responses go.

The clients read PUBSUB_EMULATOR_HOST and STORAGE_EMULATOR_HOST themselves; nothing here knows of emulators.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from google.api_core.exceptions import (
    DeadlineExceeded,
    GoogleAPICallError,
    InvalidArgument,
    NotFound,
    ServiceUnavailable,
)
from google.api_core.retry import Retry
from google.auth.exceptions import GoogleAuthError

from functions.errors import ImageNotFound, InvalidRequest
from functions.gcp.batch_publisher import Backlog, Letter, Outbox, Refused, idle
from functions.messages.contract import ObjectRef, Response, encode_response, response_attributes
from functions.runtime.payload_memory import LARGE_BYTES, Payloads
from model.errors import ImageTooLarge
from model.text import quoted

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer
    from google.cloud import storage
    from google.pubsub_v1 import SubscriberClient

FETCH_TIMEOUT_S = 3.0
"""How long Cloud Storage may say nothing; what keeps coming may take longer.

A stopping worker has 10 s, and a push worker may be given one more request while it ends: two of these fit.
"""

FETCH_RETRY_S = 2.0
"""Hiccups are retried this long in place; after that the broker's own retry, with its backoff, is the better one."""

PUBLISH_RETRY_S = 30.0
_PATIENTLY = Retry(timeout=PUBLISH_RETRY_S)


class BucketImages:
    """Images in Cloud Storage, in the `allowed` buckets. Made without touching the network, until the first fetch.

    Whoever sends a request chooses what is read, with the worker's rights, and may invent notifications: hence a list.
    `payloads`: the memory that downloaded images may take.
    """

    def __init__(self, project: str, allowed: Collection[str], payloads: Payloads) -> None:
        self._project, self._allowed, self._payloads = project, allowed, payloads

    @cached_property
    def _client(self) -> storage.Client:
        from google.cloud import storage

        return storage.Client(project=self._project or None)

    @contextmanager
    def fetch(self, ref: ObjectRef, max_bytes: int) -> Iterator[bytes]:
        """The object's bytes, for which memory is held during the block.

        Raises InvalidRequest for a bucket that is not allowed, ImageNotFound, ImageTooLarge before anything is
        downloaded, and TimeoutError when there is no memory for long. A size that came with the request is not
        believed: where the object turns out to be larger, Cloud Storage is asked for its size, and it is fetched anew.
        """
        if ref.bucket not in self._allowed:
            allowed = ", ".join(sorted(self._allowed)) or "none"
            raise InvalidRequest(f"the image's bucket is {quoted(ref.bucket)}; this worker reads from: {allowed}")
        if ref.name in ("", ".", ".."):  # no object is called so; as the end of an address they mean something else
            raise ImageNotFound(f"{ref.uri} is not there")
        from google.cloud.storage.retry import DEFAULT_RETRY

        began = time.monotonic()

        def patience() -> dict[str, Any]:
            left = max(0.0, FETCH_RETRY_S - (time.monotonic() - began))  # of the time for both calls together
            return {"timeout": FETCH_TIMEOUT_S, "retry": DEFAULT_RETRY.with_timeout(left)}

        blob = self._client.bucket(ref.bucket).blob(ref.name, generation=ref.generation)

        def asked() -> int:
            blob.reload(**patience())
            return blob.size or 0

        # The last is for an object that is compressed, and unpacked on its way.
        sizes: list[Callable[[], int]] = [asked, lambda: max_bytes]
        if (said := ref.size) is not None:
            sizes.insert(0, lambda: said)
        try:
            for size_of in sizes:
                if (size := size_of()) > max_bytes:
                    raise ImageTooLarge(f"{ref.uri} is {size:,} bytes; at most {max_bytes:,} are allowed")
                with self._payloads.held(size), suppress(_TooMany):
                    file = _Bounded(min(max_bytes, max(size, LARGE_BYTES)))
                    blob.download_to_file(file, **patience())
                    yield file.getvalue()
                    return
        except NotFound:
            raise ImageNotFound(f"{ref.uri} is not there") from None
        raise ImageTooLarge(f"{ref.uri} is more than {max_bytes:,} bytes; no more are allowed")


class _TooMany(Exception):
    """More bytes come than were to come."""


class _Bounded(io.BytesIO):
    """A file in memory that takes no more than `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__()
        self._max_bytes = max_bytes

    def write(self, data: Buffer, /) -> int:
        if self.tell() + memoryview(data).nbytes > self._max_bytes:
            raise _TooMany
        return super().write(data)


def outbox(topic: str, backlog: Backlog = idle) -> Outbox:
    """Publishes what is put in to a topic, `projects/P/topics/T`; `backlog` is the Outbox's."""
    # The generated client: the stock one around it adds batching and subscribers, which take 20 ms to import.
    from google.pubsub_v1 import PublisherClient, PublishRequest, PubsubMessage

    client = PublisherClient()
    # The plain messages: the library's wrappers of them take ten times as long to make.
    request_of, message_of = PublishRequest.pb(), PubsubMessage.pb()

    def send(letters: Sequence[Letter]) -> Sequence[str]:
        try:
            messages = [message_of(data=letter.data, attributes=letter.attributes) for letter in letters]
            made = client.publish(
                PublishRequest(request_of(topic=topic, messages=messages)), retry=_PATIENTLY, timeout=PUBLISH_RETRY_S
            )
        except (InvalidArgument, ValueError) as exc:  # the latter: what no message can hold
            raise Refused from exc
        return list(made.message_ids)

    return Outbox(send, backlog)


class TopicResponses:
    """The response topic. Made without touching the network; the client is built at the first publish.

    `backlog`: seconds until the images that wait are answered; for so long publishing may take its time.
    """

    def __init__(self, topic_path: str, backlog: Backlog = idle) -> None:
        self._topic, self._backlog = topic_path, backlog

    @cached_property
    def _outbox(self) -> Outbox:
        return outbox(self._topic, self._backlog)

    def publish(self, response: Response, *, waited: bool = False) -> Future[str]:
        """Returns at once; the future is done when the broker has the response, or fails after PUBLISH_RETRY_S."""
        return self._outbox.put(encode_response(response), response_attributes(response), waited=waited)


def answers(client: SubscriberClient, subscription: str, timeout_s: float) -> bool:
    """Whether the broker says anything, on the connection of the client's streams. Nobody needs a right to ask this."""
    asked = {"resource": subscription, "permissions": ["pubsub.subscriptions.consume"]}
    try:
        client.test_iam_permissions(request=asked, retry=None, timeout=timeout_s)
    except (ServiceUnavailable, DeadlineExceeded, GoogleAuthError):
        return False
    except GoogleAPICallError:
        return True  # a refusal is an answer
    return True
