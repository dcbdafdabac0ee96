"""Opens the session of a command that sends images: makes its job, or finds the one to resume."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from client.cli.arguments import MAX_NAME_LENGTH, SELECTION, Arguments
from client.cli.sending_options import given
from client.cli.session import Session
from client.gcp import Cloud, UsageError

if TYPE_CHECKING:
    from client.jobs.definition import Definition
    from client.jobs.job import Job
    from client.jobs.place import Store
    from client.sources.source import Source

_FIXED = ("project", "topic", "response_topic", "subscription", "bucket", "prefix", "url")
_OPTIONS = ("top_k", "model", "explain", "expires_in")
"""Parameters: what --resume must find in the job unchanged; what it cannot change."""


@contextmanager
def open_session(arguments: Arguments, definition: Definition) -> Iterator[Session]:
    """Open the job store, and make a job of the images that the arguments name, or find the one to resume.

    Raises UsageError when the arguments name no image, or do not fit the job.
    """
    from client.cli.job_options import open_store
    from client.jobs.hold import held

    with open_store(arguments.state, needed=bool(arguments.detached or arguments.resume)) as store:
        if arguments.resume:
            session = _resumed(arguments, store.find(arguments.resume), definition)
        else:
            source = _source(arguments, definition)
            session = Session(arguments, store.create(definition), source, store.is_kept)
        with held(session.job, session.tracker.abort):
            if not arguments.resume:
                _list_images(store, session)
            yield session


def _list_images(store: Store, session: Session) -> None:
    """Add the images of a new job, except those of a bucket, whose listing is read while images are sent.

    Removes the job when that fails, because nothing was sent. Raises UsageError when there is no image.
    """
    assert session.source is not None
    if session.source.is_listing:
        return
    try:
        for _ in session.job.add(session.source.images()):
            pass
        if not session.job.counts().total:
            raise session.no_image()
    except BaseException:
        store.forget(session.job)
        raise


def _resumed(arguments: Arguments, job: Job, definition: Definition) -> Session:
    """Return the session of an earlier job. Raises UsageError for arguments that contradict it."""
    from client.jobs.responses import check_place

    made = job.definition
    if made.command != definition.command:
        raise UsageError(f"job {job.id} was made by {made.command}: predictions {made.command} --resume {job.id}")
    if job.is_cancelled:
        raise UsageError(f"job {job.id} was cancelled; send its images in a new one")
    check_place(job)
    if given(SELECTION):
        raise UsageError("--resume takes the images from the job: give no PATH and no --from with it")
    for name, flag in given(_FIXED).items():
        if getattr(made, name) != getattr(definition, name):
            raise UsageError(
                f"{flag} is {getattr(definition, name)!r}; job {job.id} has {getattr(made, name)!r}: leave it out"
            )
    if given(_OPTIONS):
        raise UsageError(f"{', '.join(given(_OPTIONS).values())}: the options of job {job.id} are fixed")
    arguments = replace(arguments, explain=made.options.explain)
    return Session(arguments, job, None if job.is_listed else _rest_of_listing(arguments, job))


def _rest_of_listing(arguments: Arguments, job: Job) -> Source:
    """Return the source of a job whose command had not read all images when it ended. Raises UsageError."""
    from client.sources.objects import SCHEME
    from client.sources.selection import STDIN
    from client.text import printable

    made, arguments = job.definition, replace(arguments, **job.definition.selection)
    local = [name for name in (*arguments.paths, *arguments.lists) if not name.startswith(SCHEME)]
    if len(local) == len(arguments.paths) + len(arguments.lists):
        raise UsageError(f"job {job.id} ended before all its images were listed, and sent none: give its command again")
    if STDIN in arguments.lists:
        raise UsageError(f"job {job.id} ended before it had read all of --from -: send the other images in a new job")
    if local and made.folder != os.getcwd():
        raise UsageError(
            f"job {job.id} ended before all its images were listed: "
            f"resume it in {printable(made.folder)[:MAX_NAME_LENGTH]}, where its paths begin"
        )
    return _source(arguments, made)


def _source(arguments: Arguments, definition: Definition) -> Source:
    from client.sources.objects import object_lister
    from client.sources.source import Source

    return Source(arguments.selection(), object_lister(Cloud(definition.project)), prefix=definition.prefix)
