"""Runs a command that sends images: sends them all, shows each outcome, and reports what failed."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from client.cli import options
from client.cli.session import Session
from client.text import StoreError

if TYPE_CHECKING:
    from client.jobs.job_transport import JobTransport
    from client.results.output import View
    from client.transport.base import Transport

_SILENCE_S = 5.0
"""Seconds without an answer after which a command says why that may be."""

_SILENCE = (
    f"no answer for {_SILENCE_S:g} s: the worker may be starting, or busy with requests that were sent earlier; "
    "Ctrl-C ends the wait"
)


def run(opening: AbstractContextManager[Transport], session: Session) -> int:
    """Send all images, show each outcome, report what failed, and return the exit code."""
    from client.jobs.job_transport import JobTransport, Tries

    arguments = session.arguments
    tries = Tries(arguments.tries, arguments.every)
    view = session.view()
    session.job_run.await_earlier()  # before responses arrive
    try:
        with opening as transport:
            session.job_run.send_lost_again()
            sender = JobTransport(transport, session.job, session.tracker, tries, session.log)
            return _send(sender, session, view)
    except StoreError as exc:
        session.messages.clear()
        job = session.job
        raise StoreError(f"{exc}; then go on with predictions {job.definition.command} --resume {job.id}") from exc


def _send(transport: JobTransport, session: Session, view: View) -> int:
    from client.cli.outcome_messages import close, report, report_interruption
    from client.results.request_tracker import Outcome
    from client.transport.base import send_all

    arguments, job, messages = session.arguments, session.job, session.messages
    silence = threading.Timer(_SILENCE_S, messages.show, [_SILENCE])
    silence.daemon = True
    if not arguments.detached:
        silence.start()
    session.log.write(f"job {job.id} begins: {job.definition.command} {job.definition.described}")
    done, timeout_s = job.counts().answered, 0.0 if arguments.detached else arguments.timeout
    try:
        for outcome in send_all(transport, session.job_run.images(arguments.rate), session.tracker, timeout_s):
            silence.cancel()
            if arguments.detached and outcome.missing:
                continue
            job.end(outcome)
            view.add(outcome)
            done += 1
            if session.shows_progress:
                messages.progress(done, session.total)
    except KeyboardInterrupt:
        report_interruption(session, view)
        return options.INTERRUPTED
    finally:
        silence.cancel()
    if reason := session.tracker.unsent_reason or session.tracker.failure:
        for _, image in job.unsent():  # they stay in the job, for --resume
            view.add(Outcome(image, problem=reason))
    close(session, view)
    return report(session, transport.can_be_repeated)
