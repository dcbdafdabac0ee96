"""What the commands about jobs share: the options, and the job store that they open."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from client.cli.sending_options import given

if TYPE_CHECKING:
    from client.jobs.job import Job
    from client.jobs.place import Store

job_id = click.argument("job_id", metavar="JOB", help="Id of a job, or `last` for the newest.")
"""Declares the argument JOB."""


def open_store(place: str | None, *, needed: bool = True) -> Store:
    """Open the job store at a path or a gs:// address.

    Without `needed`, jobs are kept in memory where the default file cannot be opened. Raises UsageError and SendError.
    """
    from client.jobs.database import Unopenable
    from client.jobs.place import open_place
    from client.jobs.store import JobStore
    from client.results.output import Messages

    try:
        return open_place(place)
    except Unopenable as exc:
        if needed or place:
            raise
        Messages().show(f"{exc}; this command cannot be resumed")
        return JobStore(None)


def named(job: Job) -> str:
    """Return how the next command names a job: its id, and --state where this command line has it."""
    state = click.get_current_context().params["state"] if given(("state",)) else ""
    return f"{job.id} --state {shlex.quote(state)}" if state else job.id
