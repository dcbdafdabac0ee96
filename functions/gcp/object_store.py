"""Images in Cloud Storage. The client itself reads STORAGE_EMULATOR_HOST.

The worker downloads the bytes as they are stored and unpacks gzip itself. Google's client would count damaged gzip as
its own failure, and for other encodings it compares the checksum of the stored bytes with that of the unpacked ones.
"""

from __future__ import annotations

import io
import re
import time
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from google.api_core.exceptions import BadRequest, NotFound

from functions.errors import ImageNotFound, InvalidRequest
from functions.messages.contract import ObjectRef
from functions.runtime.payload_memory import LARGE_BYTES, PayloadBudget
from model.errors import ImageTooLarge, InvalidImage
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

_CUSTOMER_KEY = re.compile("customer-supplied encryption key|WithCustomerEncryptionKey")
"""What Cloud Storage replies, with 400, to a read without the key of the object ("Error codes", Cloud Storage)."""

_GZIP = {"gzip", "x-gzip"}
_UNREADABLE = {"br", "compress", "dcb", "dcz", "deflate", "x-compress", "zstd"}
"""The other compressions in IANA's registry of content codings. Any other label, such as UTF-8, compresses nothing."""

_MAX_MEMBERS = 100
"""Maximum members of a gzip file (RFC 1952). One is usual, and each copies the rest of the file."""


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

        Raises InvalidRequest for a bucket that is not allowed and for an object under a customer-supplied key,
        ImageNotFound, InvalidImage for a Content-Encoding that the bytes do not have, ImageTooLarge before the
        download, and TimeoutError when there is no memory for long. Other exceptions are transient. The size in a
        request is not trusted: when the object is larger, its size is read from Cloud Storage and the download starts
        again.
        """
        if ref.bucket not in self._allowed:
            allowed = ", ".join(sorted(self._allowed)) or "none"
            raise InvalidRequest(f"the image's bucket is {quoted(ref.bucket)}; this worker reads from: {allowed}")
        if not _may_exist(ref.name):
            raise ImageNotFound(f"{quoted(ref.uri)} is not there; no object has this name")
        from google.cloud.storage.retry import DEFAULT_RETRY

        began = time.monotonic()

        def limits() -> dict[str, Any]:
            left = max(0.0, FETCH_RETRY_S - (time.monotonic() - began))  # both calls share the time
            return {"timeout": FETCH_TIMEOUT_S, "retry": DEFAULT_RETRY.with_timeout(left)}

        blob = self._client.bucket(ref.bucket).blob(ref.name, generation=ref.generation)

        def stored_size() -> int:
            blob.reload(**limits())
            return blob.size or 0

        # The last size is for an object that is stored compressed.
        sizes: list[Callable[[], int]] = [stored_size, lambda: max_bytes]
        if (stated := ref.size) is not None:
            sizes.insert(0, lambda: stated)
        try:
            for size_of in sizes:
                if (size := size_of()) > max_bytes:
                    raise ImageTooLarge(f"{ref.uri} is {size:,} bytes; at most {max_bytes:,} are allowed")
                with self._payloads.reserve(size), suppress(_TooManyBytes):
                    yield _download(blob, ref, min(max_bytes, max(size, LARGE_BYTES)), limits())
                    return
        except NotFound:
            raise ImageNotFound(f"{ref.uri} is not there") from None
        except BadRequest as exc:
            if _CUSTOMER_KEY.search(exc.message):
                raise InvalidRequest(
                    f"{ref.uri} is encrypted with a customer-supplied key, which this worker does not have; store it "
                    "without such a key, or with a key of Cloud KMS"
                ) from None
            raise
        raise ImageTooLarge(f"{ref.uri} is more than {max_bytes:,} bytes; no more are allowed")


def _may_exist(name: str) -> bool:
    """Whether Cloud Storage allows an object of this name. In a URL, `.` and `..` would mean another path."""
    return 0 < len(name.encode()) <= 1024 and name not in (".", "..") and not {"\r", "\n"} & set(name)


def _download(blob: storage.Blob, ref: ObjectRef, max_bytes: int, limits: dict[str, Any]) -> bytes:
    """The object's bytes without their gzip. Raises _TooManyBytes for more than `max_bytes`, and InvalidImage."""
    file = _Bounded(max_bytes)
    blob.download_to_file(file, raw_download=True, **limits)
    encoding = (blob.content_encoding or "").lower()
    if encoding in _UNREADABLE:
        raise InvalidImage(
            f"{ref.uri} has Content-Encoding: {encoding}; it must have none, or gzip. Store the image file as it is"
        )
    if encoding not in _GZIP:
        return file.getvalue()
    try:
        return _unpacked(file.getvalue(), max_bytes)
    except zlib.error:
        raise InvalidImage(
            f"{ref.uri} has Content-Encoding: {encoding}, but its bytes are not a whole gzip file; remove this "
            "label, or store the image file again"
        ) from None


def _unpacked(stored: bytes, max_bytes: int) -> bytes:
    """The content of a gzip file; of an empty file, nothing. Raises zlib.error unless it is one from start to end."""
    pieces, left = list[bytes](), max_bytes
    for _ in range(_MAX_MEMBERS):
        if not stored:
            return b"".join(pieces)
        member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        pieces.append(member.decompress(stored, left + 1))
        left -= len(pieces[-1])
        if left < 0:
            raise _TooManyBytes
        if not member.eof:
            raise zlib.error("the file ends early")
        stored = member.unused_data
    raise zlib.error("the file has too many members")


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
