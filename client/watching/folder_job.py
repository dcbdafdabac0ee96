"""The job of a watched folder: the same one at each start."""

from __future__ import annotations

import os
from pathlib import Path

from client.gcp import Cloud, UsageError
from client.jobs.definition import Definition
from client.jobs.job import Job
from client.jobs.place import Store
from client.text import printable

COMMAND = "watch-folder"
"""The command of these jobs' definitions."""

_FIXED = {"response_topic": "--response-topic", "subscription": "--subscription"}
"""What a job keeps from its first start, because responses that it awaits are there."""


def selection(folder: Path) -> dict[str, str]:
    """Return what a definition keeps of the folder: its path without symbolic links."""
    return {"folder": os.path.realpath(folder)}


def folder_job(store: Store, wanted: Definition) -> Job:
    """Return the job of the same folder and topic, or a new one. Raises UsageError and StoreError."""
    for job in store.jobs():
        if _is_same(job.definition, wanted) and not job.is_cancelled:
            _check(job, wanted)
            return job
    return store.create(wanted)


def _is_same(made: Definition, wanted: Definition) -> bool:
    places = [(each.command, dict(each.selection), each.place, _topic(each)) for each in (made, wanted)]
    return places[0] == places[1]


def _topic(definition: Definition) -> str:
    return Cloud(definition.project).topic_path(definition.topic) if definition.topic else ""


def _check(job: Job, wanted: Definition) -> None:
    for name, flag in _FIXED.items():
        made, now = getattr(job.definition, name), getattr(wanted, name)
        if made != now:
            raise UsageError(
                f"{flag} is {printable(repr(now))}; job {job.id} of this folder has {printable(repr(made))}: give that "
                f"again, or give up the job with predictions cancel {job.id}, and all its files are published again"
            )
