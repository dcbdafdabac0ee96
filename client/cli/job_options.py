"""What the commands about jobs share: the options, and the job store that they open."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from client.gcp import UsageError
from model.text import printable

if TYPE_CHECKING:
    from client.jobs.remote_store import RemoteStore
    from client.jobs.store import JobStore

job_id = click.argument("job_id", metavar="JOB", help="Id of a job, or `last` for the newest.")
"""Declares the argument JOB."""


def open_store(place: str | None, *, needed: bool = True) -> JobStore | RemoteStore:
    """Open the job store at a path or a gs:// address; without `needed`, jobs are kept in memory where the default file
    cannot be opened.

    Raises UsageError and SendError.
    """
    from client.jobs.database import Unopenable
    from client.jobs.remote_store import RemoteStore
    from client.jobs.store import JobStore, default_path
    from client.results.output import Messages
    from client.sources.objects import SCHEME

    if place and place.startswith(SCHEME):
        return RemoteStore(place)
    if place and "://" in place:
        raise UsageError(f"--state is {printable(repr(place[:100]))}; it must be a file or gs://bucket/folder")
    try:
        return JobStore(Path(place) if place else default_path())
    except Unopenable as exc:
        if needed or place:
            raise
        Messages().show(f"{exc}; this command cannot be resumed")
        return JobStore(None)
