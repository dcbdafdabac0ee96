"""The last lines of publish, upload and predict: what failed, what was interrupted, and what was not sent."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from client.cli.session import Session
from client.images import Image
from client.results.output import Messages, View
from client.results.request_tracker import Outcome
from client.text import plain, printable, shown


def close(view: View, messages: Messages) -> None:
    """Show what the view still holds."""
    messages.clear()
    view.close()
    sys.stdout.flush()


def report(session: Session, failed: Sequence[Outcome]) -> None:
    """Name the paths without an image and the images that failed, and count both."""
    messages, no_wait = session.messages, session.arguments.no_wait
    messages.show_first([f"no image file is at {printable(text)}" for text in session.unmatched])
    lines = []
    for outcome in failed:
        if outcome.missing:
            lines.append(f"{outcome.problem}: {shown(outcome.image)} (request {printable(outcome.request_id)})")
        elif outcome.problem and no_wait:  # no table shows the problem
            lines.append(f"{shown(outcome.image)}: {outcome.problem}")
    messages.show_first(lines)
    errors = sum(outcome.response is not None for outcome in failed)
    good, total = len(session.images) - len(failed), len(session.images)
    done = "sent" if no_wait else "answered"
    messages.show(
        f"{good:,} of {total:,} {done}"
        + (f", {errors:,} with an error" if errors else "")
        + (f"; left out of folders: {session.left_out}" if session.left_out else "")
    )


def report_interruption(session: Session, ended: Sequence[Outcome], view: View) -> None:
    """Show the outcomes that arrived, and name the first images without one."""
    messages, rest = session.messages, session.tracker.stop()
    for outcome in rest:
        if not outcome.missing or session.arguments.as_json:
            view.add(outcome)
    close(view, messages)
    unanswered = [outcome for outcome in rest if outcome.missing]
    known = {outcome.image for outcome in (*ended, *rest)}
    waiting = [image for image in session.images if image not in known]
    failed = [outcome.image for outcome in (*ended, *rest) if outcome.unsent]
    messages.show(f"interrupted; {len(unanswered):,} unanswered" + (f", {len(waiting):,} not sent" if waiting else ""))
    messages.show_first(
        [f"  unanswered: {shown(outcome.image)} (request {printable(outcome.request_id)})" for outcome in unanswered]
    )
    listed = "" if session.arguments.unsent else "; --unsent FILE lists them all"
    messages.show_first([f"  not sent: {shown(image)}" for image in waiting], listed)
    if unanswered:
        messages.show("the worker still scores what was sent, and the next command waits behind it")
    write_unsent(session, [*failed, *waiting])


def write_unsent(session: Session, images: Sequence[Image]) -> None:
    """Write the paths of images that were not sent to the file of --unsent, if it is given, one on each line."""
    path = session.arguments.unsent
    if path is None:
        return
    try:
        path.write_text("".join(f"{image.location}\n" for image in images), "utf-8", "surrogateescape")
    except OSError as exc:
        session.messages.show(f"--unsent cannot be written to {printable(str(path))}: {plain(exc)}")
    else:
        session.messages.show(f"{len(images):,} images that were not sent are listed in {printable(str(path))}")
