"""The last lines of the commands that send images: what failed, what was interrupted, and what was not sent."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from client.cli.job_options import named
from client.cli.session import Session
from client.results.output import View, show_records
from client.text import brief, plain, printable

if TYPE_CHECKING:
    from client.jobs.counts import Counts
    from client.results.record import Record

_SENDING_S = 2.0
"""Seconds that Ctrl-C waits for the images that are being sent at this moment."""

_LISTED = 11
"""Images that messages name, and one more, which tells that there are others."""


def close(session: Session, view: View, *, answered: bool = False) -> None:
    """Show what the view still holds, and the table of the job; with `answered` only of images with a response."""
    session.messages.clear()
    view.close()
    if session.shows_table:
        job, counts = session.job, session.job.counts()
        shown, total = (job.answered_records, counts.answered) if answered else (job.records, counts.total)
        if models := show_records(shown, (job.definition.options.top_k or 1) > 1, total):
            session.messages.show(models)
    sys.stdout.flush()


def report(session: Session, can_be_repeated: bool) -> int:
    """Name what has no image and what failed, count both, say how to go on, and return the exit code.

    `can_be_repeated`: images that could not be sent may be sent by a later run.
    """
    job, messages, counts = session.job, session.messages, session.job.counts()
    problems = session.source.problems if session.source else []
    messages.show_first(problems)
    if reason := session.tracker.unsent_reason or (counts.waiting and session.tracker.failure):
        messages.show(f"sending stopped: {reason}")
    _show_failed(session, counts)
    done = counts.ok if session.awaits else counts.sent
    summary = _summary(session, counts, done)
    messages.show(summary)
    session.log.write(f"job {job.id} ends: {summary}")
    _write_unsent(session)
    is_open = counts.waiting or not job.is_listed or (session.awaits and counts.unanswered)
    if is_open or (counts.failed and can_be_repeated):
        _show_way_on(session, counts)
    are_files_complete = not (session.files and session.files.failed)
    all_done = job.is_listed and done == counts.total and not counts.errors
    return 0 if all_done and are_files_complete and not problems else 1


def report_interruption(session: Session, view: View) -> None:
    """Show the outcomes that arrived, and name the first images without one."""
    messages, job = session.messages, session.job
    for outcome in session.tracker.stop(_SENDING_S):
        if not outcome.missing:
            job.end(outcome)
        if not outcome.missing or session.arguments.as_json:
            view.add(outcome)
    close(session, view, answered=True)
    counts = job.counts()
    left = f"{counts.unanswered:,} unanswered"
    messages.show(f"interrupted; {left}" + (f", {counts.unsent:,} not sent" if counts.unsent else ""))
    unanswered = [f"  unanswered: {_named(each)}" for each in _first(session, "missing")]
    messages.show_first(unanswered, total=counts.unanswered)
    unsent = [f"  not sent: {brief(each.file)}" for each in _first(session, "failed")]
    rest = "" if session.arguments.unsent else "; --unsent FILE lists them all"
    messages.show_first(unsent, rest, total=counts.unsent)
    if counts.unanswered:
        messages.show("the worker still scores what was sent, and the next command waits behind it")
    session.log.write(f"job {job.id} was interrupted: {left}, {counts.unsent:,} not sent")
    _write_unsent(session)
    _show_way_on(session, counts)


def _summary(session: Session, counts: Counts, done: int) -> str:
    """Return how many images are done, how many have an error response, and what was left out."""
    parts = [f"{done:,} of {counts.total:,} {'answered' if session.awaits else 'sent'}"]
    if errors := sum(counts.errors.values()):
        parts.append(f", {errors:,} with an error")
    if left_out := session.left_out():
        parts.append(f"; left out of folders: {left_out}")
    return "".join(parts)


def _show_failed(session: Session, counts: Counts) -> None:
    """Name the first images without a response, and those that could not be sent where no row shows them."""
    lines, total = [], 0
    if session.awaits and counts.unanswered:
        lines = [f"{each.problem}: {_named(each)}" for each in _first(session, "missing")]
        total = counts.unanswered
    if counts.failed and not (session.shows_table or session.arguments.as_json):
        lines += [f"{brief(each.file)}: {each.problem}" for each in _first(session, "failed")]
        total += counts.failed
    session.messages.show_first(lines, total=total)


def _show_way_on(session: Session, counts: Counts) -> None:
    """Say how to go on with the job."""
    job = session.job
    if session.is_kept and not job.is_cancelled:
        can_wait = job.is_listed and not counts.unsent and job.definition.client_id
        way_on = f"wait {named(job)}" if can_wait else job.definition.way_on(named(job))
        session.messages.show(f"to go on:   predictions {way_on}")
        session.messages.show(f"to give up: predictions cancel {named(job)}")


def _first(session: Session, status: str) -> Iterator[Record]:
    return itertools.islice((each for each in session.job.records(failed=True) if each.status == status), _LISTED)


def _named(record: Record) -> str:
    return f"{brief(record.file)} (request {printable(record.request_id)})"


def _write_unsent(session: Session) -> None:
    """Write the paths of images that were not sent to the file of --unsent, if it is given, one on each line."""
    path = session.arguments.unsent
    if path is None:
        return
    locations = list(session.job.not_sent())
    try:
        with path.open("w", encoding="utf-8", errors="surrogateescape") as file:
            file.writelines(f"{location}\n" for location in locations)
    except OSError as exc:
        session.messages.show(f"--unsent cannot be written to {printable(str(path))}: {plain(exc)}")
    else:
        session.messages.show(f"{len(locations):,} images that were not sent are listed in {printable(str(path))}")
