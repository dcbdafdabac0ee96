"""Stores the first response to each request in a bucket, so that all workers publish the same one.

Delivery stays at least once: clients still receive copies of a response. Each request costs a write to the bucket.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from google.api_core.exceptions import Forbidden, PreconditionFailed

from functions.gcp.object_store import FETCH_RETRY_S, FETCH_TIMEOUT_S
from functions.messages.contract import Response, decode_response, encode_response

if TYPE_CHECKING:
    from google.cloud import storage


class BucketResponseStore:
    """A response store at `gs://bucket/prefix`. The client is built at the first response."""

    def __init__(self, place: str, project: str) -> None:
        self._bucket_name, _, prefix = place.removeprefix("gs://").partition("/")
        self._prefix = f"{prefix.rstrip('/')}/" if prefix else ""
        self._project = project

    @cached_property
    def _bucket(self) -> storage.Bucket:
        from google.cloud import storage

        return storage.Client(project=self._project or None).bucket(self._bucket_name)

    def keep(self, identity: str, response: Response) -> Response:
        """Store a response unless there is one, and return the stored one. The bucket's errors are transient."""
        from google.cloud.storage.retry import DEFAULT_RETRY

        retry = DEFAULT_RETRY.with_timeout(FETCH_RETRY_S)
        blob = self._bucket.blob(f"{self._prefix}{identity}.json")
        try:
            blob.upload_from_string(
                encode_response(response),
                "application/json",
                if_generation_match=0,
                timeout=FETCH_TIMEOUT_S,
                retry=retry,
            )
        except (PreconditionFailed, Forbidden):
            # Forbidden: Cloud Storage may check the missing right to replace objects before the precondition.
            return decode_response(blob.download_as_bytes(timeout=FETCH_TIMEOUT_S, retry=retry))
        return response
