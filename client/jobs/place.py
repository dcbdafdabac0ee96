"""Opens the job store at a place: a file, or a folder in Cloud Storage."""

from __future__ import annotations

from pathlib import Path

from client.gcp import UsageError
from client.jobs.remote_store import RemoteStore
from client.jobs.store import JobStore, default_path
from client.sources.objects import SCHEME
from client.text import printable

Store = JobStore | RemoteStore


def open_place(place: str | None) -> Store:
    """Open the job store at a path, a gs:// address, or the default path. Raises UsageError and SendError."""
    if not place:
        return JobStore(default_path())
    if place.startswith(SCHEME):
        return RemoteStore(place)
    if "://" in place:
        raise UsageError(f"the job store is {printable(repr(place[:100]))}; it must be a file or gs://bucket/folder")
    return JobStore(Path(place))
