"""Runs a command that sends images: sends them all, shows each outcome, and reports what failed."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from client.cli import options
from client.cli.session import Session

if TYPE_CHECKING:
    from client.results.output import View
    from client.results.request_tracker import Outcome
    from client.transport.base import Transport

_SILENCE_S = 5.0
"""Seconds without an answer after which a command says why that may be."""

_SILENCE = (
    f"no answer for {_SILENCE_S:g} s: the worker may be starting, or busy with requests that were sent earlier; "
    "Ctrl-C ends the wait"
)


def run(opening: AbstractContextManager[Transport], session: Session) -> int:
    """Send all images, show each outcome, report what failed, and return the exit code."""
    with opening as transport:
        return _send(transport, session, session.view())


def _send(transport: Transport, session: Session, view: View) -> int:
    from client.cli.outcome_messages import close, report, report_interruption, write_unsent
    from client.transport.base import send_all

    arguments, images, messages = session.arguments, session.images, session.messages
    ended: list[Outcome] = []
    silence = threading.Timer(_SILENCE_S, messages.show, [_SILENCE])
    silence.daemon = True
    silence.start()
    try:
        for outcome in send_all(transport, images, session.tracker, arguments.timeout):
            silence.cancel()
            ended.append(outcome)
            view.add(outcome)
            if session.shows_progress:
                messages.progress(len(ended), len(images))
    except KeyboardInterrupt:
        report_interruption(session, ended, view)
        return options.INTERRUPTED
    finally:
        silence.cancel()
    close(view, messages)
    failed = [outcome for outcome in ended if not outcome.ok]
    report(session, failed)
    write_unsent(session, [outcome.image for outcome in failed if outcome.unsent])
    return 1 if failed or session.unmatched or (session.files and session.files.failed) else 0
