"""The images in buckets: those that an address names, and the listing of a prefix, page by page."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Iterator

from client.gcp import CALL_TIMEOUT_S, Cloud, UsageError, storage_retry
from client.images import StoredImage
from client.sources.names import cleaned
from client.sources.selection import Choice
from client.text import SendError, plain
from functions.messages.contract import ObjectRef
from functions.settings import BUCKET
from model.text import quoted, whole

SCHEME = "gs://"
"""The start of the address of an object or a prefix."""

PAGE_SIZE = 1000
"""Objects of one page: the most that Cloud Storage returns ("Objects: list", Cloud Storage JSON API)."""

_FIELDS = "items(name,generation,size),nextPageToken"

ListObjects = Callable[[str, str], Iterable[tuple[str, int, int]]]
"""Lists the objects of a bucket (first argument) whose names begin with a prefix (second), in the order of their names:
name, generation, and size in bytes. Raises UsageError and SendError."""


def bucket_and_prefix(address: str) -> tuple[str, str]:
    """Split `gs://bucket/prefix`. Raises UsageError."""
    bucket, _, prefix = address.removeprefix(SCHEME).partition("/")
    if not BUCKET.fullmatch(bucket) or whole(address) != address:
        raise UsageError(f"{quoted(address)} is no address of a bucket; it must look like gs://bucket/prefix, in UTF-8")
    return bucket, prefix


def images_of_prefix(address: str, list_objects: ListObjects, choice: Choice) -> Iterator[StoredImage]:
    """Yield the object of this name; without one, the chosen images of the folder of this name; without one, those
    whose names begin so. No character is a wildcard.
    """
    bucket, prefix = bucket_and_prefix(address)
    if prefix and not prefix.endswith("/"):
        first = next(iter(list_objects(bucket, prefix)), None)
        if first and first[0] == prefix:  # in the order of names it is the first
            yield _image(bucket, prefix.rpartition("/")[2], *first)
            return
        if any(True for _ in list_objects(bucket, f"{prefix}/")):
            prefix += "/"
    folder = prefix[: prefix.rfind("/") + 1]
    for name, generation, size in list_objects(bucket, prefix):
        image = _image(bucket, name.removeprefix(folder), name, generation, size)
        if not name.endswith("/") and choice.is_image(image.name):
            yield image


def _image(bucket: str, below: str, name: str, generation: int, size: int) -> StoredImage:
    return StoredImage(ObjectRef(bucket, name, generation, size), cleaned(below) or "image")


def why_no_object(address: str) -> str:
    """Say why no object may be at an address, "" where that is not known."""
    literal = "; the names of objects are literal, and no globs" if glob.has_magic(address) else ""
    return f"no image object is at {address}{literal}"


def object_lister(cloud: Cloud) -> ListObjects:
    """Return the listing of Cloud Storage. It connects when the first page is read, and keeps one page in memory."""

    def list_objects(bucket: str, prefix: str) -> Iterator[tuple[str, int, int]]:
        from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound, Unauthorized
        from google.auth.exceptions import GoogleAuthError
        from requests.exceptions import RequestException

        try:
            client = cloud.storage_client()
            try:
                for blob in client.list_blobs(
                    bucket,
                    prefix=prefix or None,
                    page_size=PAGE_SIZE,
                    fields=_FIELDS,
                    timeout=CALL_TIMEOUT_S,
                    retry=storage_retry(),
                ):
                    yield blob.name, int(blob.generation), int(blob.size)
            finally:
                client.close()
        except (Forbidden, NotFound, Unauthorized) as exc:
            raise UsageError(_unlisted(bucket, exc)) from exc
        except (GoogleAPIError, GoogleAuthError, RequestException) as exc:
            raise SendError(_unlisted(bucket, exc)) from exc

    return list_objects


def _unlisted(bucket: str, exc: Exception) -> str:
    return f"{SCHEME}{bucket} cannot be listed: {plain(exc, f'the bucket {bucket}')}"
