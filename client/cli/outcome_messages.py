"""The last lines of the commands that send images: what failed, what was interrupted, and what was not sent."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from client.cli.session import Session
from client.results.output import View, show_records
from client.text import brief, plain, printable

if TYPE_CHECKING:
    from client.jobs.job import Counts
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
        shown, total = (job.answered_records(), counts.answered) if answered else (job.records(), counts.total)
        show_records(shown, (session.arguments.top_k or 1) > 1, total)
    sys.stdout.flush()


def report(session: Session) -> int:
    """Name what has no image and what failed, count both, and return the exit code."""
    job, messages, arguments = session.job, session.messages, session.arguments
    counts = job.counts()
    problems = session.source.problems if session.source else []
    messages.show_first(problems)
    if reason := session.tracker.unsent_reason:
        messages.show(f"sending stopped: {reason}")
    _show_failed(session, counts)
    waits = job.is_answered
    sent = counts.total - counts.waiting - counts.failed
    good, done = (counts.ok, "answered") if waits and not arguments.detached else (sent, "sent")
    errors = sum(counts.errors.values())
    left_out = session.left_out()
    line = (
        f"{good:,} of {counts.total:,} {done}"
        + (f", {errors:,} with an error" if errors else "")
        + (f"; left out of folders: {left_out}" if left_out else "")
    )
    messages.show(line)
    session.log.write(f"job {job.id} ends: {line}")
    _write_unsent(session, arguments.unsent)
    if counts.waiting or (waits and not arguments.detached and counts.unanswered):
        _show_way_on(session, counts)
    complete = good == counts.total and not errors
    return 0 if complete and not problems and not (session.files and session.files.failed) else 1


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
    unsent = counts.waiting + counts.failed
    messages.show(f"interrupted; {counts.unanswered:,} unanswered" + (f", {unsent:,} not sent" if unsent else ""))
    messages.show_first(
        [f"  unanswered: {_named(each)}" for each in _first(session, "missing")],
        total=counts.unanswered,
    )
    rest = "" if session.arguments.unsent else "; --unsent FILE lists them all"
    messages.show_first([f"  not sent: {brief(each.file)}" for each in _first(session, "failed")], rest, total=unsent)
    if counts.unanswered:
        messages.show("the worker still scores what was sent, and the next command waits behind it")
    session.log.write(f"job {job.id} was interrupted: {counts.unanswered:,} unanswered, {unsent:,} not sent")
    _write_unsent(session, session.arguments.unsent)
    _show_way_on(session, counts)


def _show_failed(session: Session, counts: Counts) -> None:
    """Name the first images without a response, or that could not be sent where no table shows it."""
    lines = []
    if not session.arguments.detached and not session.arguments.no_wait and counts.unanswered:
        lines = [f"{each.problem}: {_named(each)}" for each in _first(session, "missing")]
    if not session.shows_table and not session.arguments.as_json and counts.failed:
        lines += [f"{brief(each.file)}: {each.problem}" for each in _first(session, "failed")]
    session.messages.show_first(lines, total=max(len(lines), counts.unanswered if lines else 0))


def _show_way_on(session: Session, counts: Counts) -> None:
    """Say how to go on with the job."""
    job = session.job
    if session.is_kept:
        unsent = counts.waiting or counts.failed or not job.is_listed
        way_on = f"{job.definition.command} --resume" if unsent or not job.definition.client_id else "wait"
        session.messages.show(f"to go on:   predictions {way_on} {job.id}")
        session.messages.show(f"to give up: predictions cancel {job.id}")


def _first(session: Session, status: str) -> Iterator[Record]:
    return itertools.islice((each for each in session.job.records(failed=True) if each.status == status), _LISTED)


def _named(record: Record) -> str:
    return f"{brief(record.file)} (request {printable(record.request_id)})"


def _write_unsent(session: Session, path: Path | None) -> None:
    """Write the paths of images that were not sent to the file of --unsent, if it is given, one on each line."""
    if path is None:
        return
    count = 0
    try:
        with path.open("w", encoding="utf-8", errors="surrogateescape") as file:
            for location in session.job.not_sent():
                file.write(f"{location}\n")
                count += 1
    except OSError as exc:
        session.messages.show(f"--unsent cannot be written to {printable(str(path))}: {plain(exc)}")
    else:
        session.messages.show(f"{count:,} images that were not sent are listed in {printable(str(path))}")
