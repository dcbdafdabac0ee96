"""A registry in a bucket of Cloud Storage. Generation preconditions keep two writers apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from model.artifact.manifest import MAX_TEXT_BYTES
from model.errors import RegistryError
from model.registry.storage import NEW, Changed, Stored
from model.text import quoted, reason

SCHEME = "gs://"

CALL_TIMEOUT_S = 10.0
"""Seconds for one call. A retry by Google's client is another call."""


class BucketStorage:
    """Objects below `gs://bucket/prefix`. See Storage."""

    def __init__(self, address: str) -> None:
        bucket, _, prefix = address.removeprefix(SCHEME).partition("/")
        prefix = prefix.strip("/")
        if not bucket or not prefix:
            raise RegistryError(f"the registry is {quoted(address)}; it must look like gs://bucket/prefix")
        from google.cloud import storage

        self._client = storage.Client()
        self._bucket = self._client.bucket(bucket)
        self._prefix = f"{prefix}/"

    @property
    def address(self) -> str:
        return f"{SCHEME}{self._bucket.name}/{self._prefix}".rstrip("/")

    def read(self, path: str) -> Stored | None:
        from google.api_core.exceptions import NotFound

        blob = self._blob(path)
        with self._errors(path):
            try:
                content = blob.download_as_bytes(end=MAX_TEXT_BYTES, timeout=CALL_TIMEOUT_S)
            except NotFound:
                return None
        if len(content) > MAX_TEXT_BYTES:
            raise RegistryError(f"{self.address}/{path} has more than {MAX_TEXT_BYTES:,} bytes")
        return Stored(content, str(blob.generation))

    def write(self, path: str, content: bytes, generation: str) -> None:
        from google.api_core.exceptions import PreconditionFailed

        expected = 0 if generation == NEW else int(generation)
        with self._errors(path):
            try:
                self._blob(path).upload_from_string(
                    content, "application/json", if_generation_match=expected, timeout=CALL_TIMEOUT_S
                )
            except PreconditionFailed:
                raise Changed(path) from None

    def upload(self, path: str, file: Path) -> None:
        with self._errors(path):
            self._blob(path).upload_from_filename(file, checksum="crc32c")

    def folders(self, path: str) -> list[str]:
        prefix = self._prefix + (f"{path}/" if path else "")
        with self._errors(path):
            listed = self._client.list_blobs(self._bucket, prefix=prefix, delimiter="/", timeout=CALL_TIMEOUT_S)
            for _ in listed.pages:
                pass
            return sorted(found.removeprefix(prefix).rstrip("/") for found in listed.prefixes)

    def sizes(self, path: str) -> Mapping[str, int]:
        prefix = f"{self._prefix}{path}/"
        with self._errors(path):
            listed = self._client.list_blobs(self._bucket, prefix=prefix, timeout=CALL_TIMEOUT_S)
            return {blob.name.removeprefix(prefix): blob.size for blob in listed}

    def delete(self, path: str) -> None:
        from google.api_core.exceptions import NotFound

        with self._errors(path):
            try:
                self._blob(path).delete(timeout=CALL_TIMEOUT_S)
            except NotFound:
                return

    def _blob(self, path: str) -> Any:
        return self._bucket.blob(self._prefix + path)

    @contextmanager
    def _errors(self, path: str) -> Iterator[None]:
        """Turn refusals of Cloud Storage into a RegistryError."""
        from google.api_core.exceptions import ClientError, TooManyRequests

        try:
            yield
        except TooManyRequests:
            raise
        except ClientError as exc:
            raise RegistryError(f"{self.address}/{path} cannot be used: {reason(exc)}") from exc
