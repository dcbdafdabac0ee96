"""Images in Cloud Storage. The client itself reads STORAGE_EMULATOR_HOST."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from google.api_core.exceptions import NotFound

from functions.errors import ImageNotFound, InvalidRequest
from functions.messages.contract import ObjectRef
from functions.runtime.payload_memory import LARGE_BYTES, PayloadBudget
from model.errors import ImageTooLarge
from model.text import quoted

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer
    from google.cloud import storage

FETCH_TIMEOUT_S = 3.0
"""Seconds in which Cloud Storage must send something; a download that goes on may take longer.

A stopping worker has 10 s, and a push worker may get one more request while it stops: two of these fit.
"""

FETCH_RETRY_S = 2.0
"""Seconds for which a failed call is retried; after that the broker's redelivery, with its backoff, is better."""


class BucketObjects:
    """Objects in the `allowed` buckets. The client is built at the first fetch.

    A sender chooses the object, and may forge a notification. The worker reads it with its own permissions, so the list
    of buckets restricts them.
    `payloads`: the memory budget for downloaded images.
    """

    def __init__(self, project: str, allowed: Collection[str], payloads: PayloadBudget) -> None:
        self._project, self._allowed, self._payloads = project, allowed, payloads

    @cached_property
    def _client(self) -> storage.Client:
        from google.cloud import storage

        return storage.Client(project=self._project or None)

    @contextmanager
    def fetch(self, ref: ObjectRef, max_bytes: int) -> Iterator[bytes]:
        """The object's bytes, whose memory is reserved during the block.

        Raises InvalidRequest for a bucket that is not allowed, ImageNotFound, ImageTooLarge before the download, and
        TimeoutError when there is no memory for long. The size in a request is not trusted: when the object is larger,
        its size is read from Cloud Storage and the download starts again.
        """
        if ref.bucket not in self._allowed:
            allowed = ", ".join(sorted(self._allowed)) or "none"
            raise InvalidRequest(f"the image's bucket is {quoted(ref.bucket)}; this worker reads from: {allowed}")
        if ref.name in ("", ".", ".."):  # no object has these names, and in a URL they mean another path
            raise ImageNotFound(f"{ref.uri} is not there")
        from google.cloud.storage.retry import DEFAULT_RETRY

        began = time.monotonic()

        def limits() -> dict[str, Any]:
            left = max(0.0, FETCH_RETRY_S - (time.monotonic() - began))  # both calls share the time
            return {"timeout": FETCH_TIMEOUT_S, "retry": DEFAULT_RETRY.with_timeout(left)}

        blob = self._client.bucket(ref.bucket).blob(ref.name, generation=ref.generation)

        def stored_size() -> int:
            blob.reload(**limits())
            return blob.size or 0

        # The last size is for an object that is stored compressed and is decompressed during the download.
        sizes: list[Callable[[], int]] = [stored_size, lambda: max_bytes]
        if (stated := ref.size) is not None:
            sizes.insert(0, lambda: stated)
        try:
            for size_of in sizes:
                if (size := size_of()) > max_bytes:
                    raise ImageTooLarge(f"{ref.uri} is {size:,} bytes; at most {max_bytes:,} are allowed")
                with self._payloads.reserve(size), suppress(_TooManyBytes):
                    file = _Bounded(min(max_bytes, max(size, LARGE_BYTES)))
                    blob.download_to_file(file, **limits())
                    yield file.getvalue()
                    return
        except NotFound:
            raise ImageNotFound(f"{ref.uri} is not there") from None
        raise ImageTooLarge(f"{ref.uri} is more than {max_bytes:,} bytes; no more are allowed")


class _TooManyBytes(Exception):
    """The object has more bytes than its size says."""


class _Bounded(io.BytesIO):
    """A file in memory of at most `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__()
        self._max_bytes = max_bytes

    def write(self, data: Buffer, /) -> int:
        if self.tell() + memoryview(data).nbytes > self._max_bytes:
            raise _TooManyBytes
        return super().write(data)
