"""What the commands about jobs share: the options, and the job store that they open."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from client.jobs.store import JobStore

job_id = click.argument("job_id", metavar="JOB", help="Id of a job, or `last` for the newest.")
"""Declares the argument JOB."""


def open_store(path: Path | None, *, needed: bool = True) -> JobStore:
    """Open the job store; without `needed`, jobs are kept in memory where the default file cannot be opened.

    Raises UsageError.
    """
    from client.jobs.database import Unopenable
    from client.jobs.store import JobStore, default_path
    from client.results.output import Messages

    try:
        return JobStore(path or default_path())
    except Unopenable as exc:
        if needed or path:
            raise
        Messages().show(f"{exc}; this command cannot be resumed")
        return JobStore(None)
