"""Opens the job store at a place."""

from __future__ import annotations

from pathlib import Path

from client.gcp import UsageError
from client.jobs.store import JobStore, default_path
from client.text import printable


def open_place(place: str | None) -> JobStore:
    """Open the job store at a path, or at the default path. Raises UsageError."""
    if place and "://" in place:
        raise UsageError(f"the job store is {printable(repr(place[:100]))}; it must be a file")
    return JobStore(Path(place) if place else default_path())
