"""A registry in a bucket of Cloud Storage. Generation preconditions keep two writers apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from model.artifact.manifest import MAX_TEXT_BYTES
from model.errors import RegistryError
from model.registry.storage import NEW, Changed, Entry, Stored
from model.text import quoted, reason

SCHEME = "gs://"

CALL_TIMEOUT_S = 10.0
"""Seconds without a byte after which a call fails. A retry by Google's client is another call."""

UPLOAD_TIMEOUT_S = 60.0
"""The same for uploads, whose response comes after the last byte."""

RETRY_S = 30.0
"""Seconds after the start of a call in which Google's client retries it."""

_CHUNK = 1 << 20


class BucketStorage:
    """Objects below `gs://bucket/prefix`. See Storage.

    `deadline_s`: seconds in which a call and its retries end, by default RETRY_S.
    """

    def __init__(self, address: str, deadline_s: float | None = None) -> None:
        deadline_s = RETRY_S if deadline_s is None else deadline_s
        bucket, _, prefix = address.removeprefix(SCHEME).partition("/")
        prefix = prefix.strip("/")
        if not bucket or not prefix:
            raise RegistryError(f"the registry is {quoted(address)}; it must look like gs://bucket/prefix")
        from google.auth.exceptions import DefaultCredentialsError
        from google.cloud import storage
        from google.cloud.storage.retry import DEFAULT_RETRY

        try:
            self._client = storage.Client(project=None)  # objects belong to a bucket, so no project is needed
        except DefaultCredentialsError:
            raise RegistryError(
                f"{address} needs Google's credentials, and there are none: run gcloud auth application-default login"
            ) from None
        self._bucket = self._client.bucket(bucket)
        self._prefix = f"{prefix}/"
        self._limits = {
            "timeout": min(CALL_TIMEOUT_S, deadline_s),
            "retry": DEFAULT_RETRY.with_timeout(deadline_s),
        }

    @property
    def address(self) -> str:
        return f"{SCHEME}{self._bucket.name}/{self._prefix}".rstrip("/")

    def read(self, path: str) -> Stored | None:
        from google.api_core.exceptions import Forbidden, NotFound, RequestRangeNotSatisfiable

        blob = self._blob(path)
        with self._errors(path):
            try:
                content = blob.download_as_bytes(end=MAX_TEXT_BYTES, **self._limits)
            except NotFound:
                return None
            except Forbidden:  # also the reply for an object that does not exist, where listing has conditions
                if self._is_listed(path):
                    raise
                return None
            except RequestRangeNotSatisfiable:  # the object is empty
                blob.reload(**self._limits)
                content = b""
        if len(content) > MAX_TEXT_BYTES:
            raise RegistryError(f"{self.address}/{path} has more than {MAX_TEXT_BYTES:,} bytes")
        return Stored(content, str(blob.generation))

    def write(self, path: str, content: bytes, generation: str) -> None:
        from google.api_core.exceptions import PreconditionFailed

        expected = 0 if generation == NEW else int(generation)
        with self._errors(path):
            try:
                self._blob(path).upload_from_string(
                    content, "application/json", if_generation_match=expected, **self._limits
                )
            except PreconditionFailed:
                found = self.read(path)
                if not found or found.content != content:  # otherwise a call succeeded whose response was lost
                    raise Changed(path) from None

    def upload(self, path: str, file: Path) -> None:
        limits = {**self._limits, "timeout": UPLOAD_TIMEOUT_S}
        with self._errors(path):
            self._blob(path).upload_from_filename(file, checksum="crc32c", **limits)

    def holds(self, path: str, entry: Entry, file: Path) -> bool:
        return entry.size == file.stat().st_size and entry.crc32c == _crc32c(file)

    def folders(self, path: str) -> list[str]:
        prefix = self._prefix + (f"{path}/" if path else "")
        with self._errors(path):
            listed = self._client.list_blobs(self._bucket, prefix=prefix, delimiter="/", **self._limits)
            for _ in listed.pages:
                pass
            return sorted(found.removeprefix(prefix).rstrip("/") for found in listed.prefixes)

    def files(self, path: str) -> Mapping[str, Entry]:
        prefix = f"{self._prefix}{path}/"
        with self._errors(path):
            listed = self._client.list_blobs(self._bucket, prefix=prefix, **self._limits)
            return {blob.name.removeprefix(prefix): _entry(blob) for blob in listed}

    def delete(self, path: str, entry: Entry) -> None:
        from google.api_core.exceptions import NotFound, PreconditionFailed

        with self._errors(path):
            try:
                self._blob(path).delete(if_generation_match=int(entry.generation), **self._limits)
            except NotFound:
                return
            except PreconditionFailed:
                raise Changed(path) from None

    def close(self) -> None:
        self._client.close()

    def _is_listed(self, path: str) -> bool:
        name = self._prefix + path
        listed = self._client.list_blobs(self._bucket, prefix=name, max_results=1, **self._limits)
        return any(blob.name == name for blob in listed)

    def _blob(self, path: str) -> Any:
        return self._bucket.blob(self._prefix + path)

    @contextmanager
    def _errors(self, path: str) -> Iterator[None]:
        """Turn refusals of Cloud Storage into a RegistryError."""
        from google.api_core.exceptions import ClientError, Forbidden, NotFound, TooManyRequests, Unauthorized

        try:
            yield
        except TooManyRequests:
            raise
        except NotFound as exc:
            raise RegistryError(
                f"the registry's bucket {self._bucket.name} does not exist; create it, or correct the address"
            ) from exc
        except (Forbidden, Unauthorized) as exc:
            raise RegistryError(
                f"{self.address}/{path} may not be used by this account: readers need roles/storage.objectViewer on "
                "the bucket, writers roles/storage.objectUser"
            ) from exc
        except ClientError as exc:
            raise RegistryError(f"{self.address}/{path} cannot be used: {reason(exc)}") from exc


def _entry(blob: Any) -> Entry:
    modified = blob.updated or datetime.now(UTC)
    return Entry(blob.size, modified.astimezone(UTC), str(blob.generation), blob.crc32c or "")


def _crc32c(file: Path) -> str:
    """The checksum of a file as Cloud Storage writes it: big-endian, in base64."""
    import base64

    import google_crc32c

    checksum = google_crc32c.Checksum()
    with file.open("rb") as opened:
        while chunk := opened.read(_CHUNK):
            checksum.update(chunk)
    return base64.b64encode(checksum.digest()).decode()
