"""Opens the session of a command that sends images: makes its job, or finds the one to resume."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from client.cli.arguments import SELECTION, Arguments
from client.cli.sending_options import given
from client.cli.session import Session
from client.gcp import UsageError

if TYPE_CHECKING:
    from client.jobs.definition import Definition
    from client.jobs.job import Job
    from client.sources.source import AnySource

_FIXED = ("project", "broker", "topic", "response_topic", "subscription", "bucket", "prefix", "url")
_OPTIONS = ("top_k", "model", "explain", "features", "expires_in", "gather", "responses")
"""Parameters: what --resume must find in the job unchanged; what it cannot change."""


@contextmanager
def open_session(
    arguments: Arguments, definition: Definition, make_source: Callable[[Definition], AnySource] | None = None
) -> Iterator[Session]:
    """Open the job store, and make a job of the images that the arguments name, or find the one to resume.

    `make_source` makes the source of images that the job store does not keep. Raises UsageError when the arguments name
    no image, or do not fit the job.
    """
    from client.cli.job_options import open_store
    from client.jobs.hold import held
    from client.jobs.listing import list_images, source_of

    with open_store(arguments.state, needed=bool(arguments.detached or arguments.resume)) as store:
        if arguments.resume:
            session = _resumed(arguments, store.find(arguments.resume), definition, make_source)
        else:
            source = make_source(definition) if make_source else source_of(definition, arguments.selection())
            session = Session(arguments, store.create(definition), source, store.is_kept)
        with held(session.job, session.tracker.abort):
            if session.source and not arguments.resume:
                list_images(store, session.job, session.source)
            yield session


def _resumed(
    arguments: Arguments, job: Job, definition: Definition, make_source: Callable[[Definition], AnySource] | None
) -> Session:
    """Return the session of an earlier job. Raises UsageError for arguments that contradict it."""
    from client.jobs.listing import rest_of_listing
    from client.jobs.responses import check_resumable

    made = job.definition
    if made.command != definition.command:
        raise UsageError(f"job {job.id} was made by {made.command}: predictions {made.way_on(job.id)}")
    check_resumable(job)
    if given(SELECTION):
        raise UsageError("--resume takes the images from the job: give no PATH and no --from with it")
    for name, flag in given(_FIXED).items():
        if getattr(made, name) != getattr(definition, name):
            raise UsageError(
                f"{flag} is {getattr(definition, name)!r}; job {job.id} has {getattr(made, name)!r}: leave it out"
            )
    if given(_OPTIONS):
        raise UsageError(f"{', '.join(given(_OPTIONS).values())}: the options of job {job.id} are fixed")
    arguments = replace(arguments, explain=made.options.explain, features=made.options.features)
    return Session(arguments, job, make_source(made) if make_source else rest_of_listing(job))
