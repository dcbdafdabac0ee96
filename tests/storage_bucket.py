"""A bucket of the local Storage server, through Google's client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from google.cloud import storage
from google.cloud.storage import Bucket

from infra.local.storage.server import StorageServer


@contextmanager
def new_bucket(server: StorageServer, name: str) -> Iterator[Bucket]:
    """Create a bucket, and delete it with its objects at the end. STORAGE_EMULATOR_HOST names the server meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", server.url)
        client = storage.Client(project="p")
        bucket = client.create_bucket(name)
        yield bucket
        bucket.delete(force=True)
        client.close()
