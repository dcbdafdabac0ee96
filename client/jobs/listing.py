"""The images of a job: those of a new one, and those that an earlier run had not read when it ended."""

from __future__ import annotations

import os

from client.gcp import Cloud, UsageError
from client.jobs.definition import MAX_NAME_LENGTH, MAX_NAMED, Definition
from client.jobs.job import Job
from client.jobs.place import Store
from client.sources.objects import SCHEME, object_lister
from client.sources.selection import STDIN, Selection
from client.sources.source import AnySource, Source
from client.text import printable
from model.image_folder import counted


def source_of(made: Definition, selection: Selection) -> Source:
    """Return the source of a job's images. Raises UsageError."""
    return Source(selection, object_lister(Cloud(made.project)), prefix=made.prefix)


def list_images(store: Store, job: Job, source: AnySource) -> None:
    """Add the images of a new job, except those of a bucket, whose listing is read while images are sent.

    Removes the job when that fails, because nothing was sent. Raises UsageError when there is no image.
    """
    if source.is_listing:
        return
    try:
        for _ in job.add(source.images()):
            pass
        if not job.counts().total:
            raise no_image(job, source)
    except BaseException:
        store.forget(job)
        raise


def rest_of_listing(job: Job) -> Source | None:
    """Return the source of a job that an earlier run had not read to its end, None where it had. Raises UsageError."""
    if job.is_listed:
        return None
    made = job.definition
    selection = Selection(**{"paths": (), **made.selection})
    local = [name for name in (*selection.paths, *selection.lists) if not name.startswith(SCHEME)]
    if len(local) == len(selection.paths) + len(selection.lists):
        raise UsageError(f"job {job.id} ended before all its images were listed, and sent none: give its command again")
    if STDIN in selection.lists:
        raise UsageError(f"job {job.id} ended before it had read all of --from -: send the other images in a new job")
    if local and made.folder != os.getcwd():
        raise UsageError(
            f"job {job.id} ended before all its images were listed: "
            f"resume it in {printable(made.folder)[:MAX_NAME_LENGTH]}, where its paths begin"
        )
    return source_of(made, selection)


def named(problems: list[str]) -> str:
    """Return the first problems of a source, and the number of the others."""
    more = f"; and {len(problems) - MAX_NAMED:,} more" if len(problems) > MAX_NAMED else ""
    return "; ".join(text[:MAX_NAME_LENGTH] for text in problems[:MAX_NAMED]) + more


def left_out(source: AnySource) -> str:
    """Return the count of files that were left out, by the ending of their names."""
    return printable(counted(source.left_out))


def no_image(job: Job, source: AnySource) -> UsageError:
    """Return the error of a job without an image."""
    others = left_out(source)
    return UsageError(
        (named(source.problems) or f"no image file is at {printable(job.definition.described)}")
        + (f" (left out: {others})" if others else "")
    )
