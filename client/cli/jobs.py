"""The commands jobs, status, wait and cancel: what became of the images of a job."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from client.cli import options
from client.cli.job_options import job_id, open_store
from client.gcp import UsageError

if TYPE_CHECKING:
    from client.jobs.job import Counts, Job
    from client.results.output import Messages

_IDLE_S = 1.0
"""Seconds without a response after which status and cancel read no further."""

_POLL_S = 0.2
"""Seconds between two looks at the counts of a job."""

_LISTED = 30
"""Jobs that the command jobs lists without --all."""

STATUS_EXIT_CODES = """\b
Exit codes:
  0    the job is complete: every image has a response
  1    images are not sent, or have no response yet
  2    wrong usage, or no such job"""

WAIT_EXIT_CODES = """\b
Exit codes:
  0    every image has its labels
  1    some images have an error or no answer
  2    wrong usage, or no such job
  130  interrupted with Ctrl-C; the job goes on"""


@click.command(cls=options.Command, epilog=STATUS_EXIT_CODES)
@job_id
@options.state
@options.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(job_id: str, state: Path | None, as_json: bool) -> int:
    """Show how many images of a job were sent, answered, or have no answer.

    It first receives the responses that wait for the job, unless another command does so at this moment.

    \b
    Example:
      predictions status last
    """
    from client.jobs.description import describe, described_lines
    from client.results.output import Messages

    messages = Messages()
    with open_store(state) as store:
        job = store.find(job_id)
        _receive_waiting(job, messages)
        found = describe(job)
        print(json.dumps(found) if as_json else "\n".join(described_lines(found)))
        return 0 if job.is_complete() else 1


@click.command(cls=options.Command, epilog=WAIT_EXIT_CODES)
@job_id
@options.state
@options.output
@options.option("--json", "as_json", is_flag=True, help="Print one JSON line for each image at the end.")
@options.option(
    "--timeout",
    type=options.SECONDS,
    metavar="S",
    help="End when no answer has arrived for S seconds.  [default: wait without a limit]",
)
def wait(job_id: str, state: Path | None, output: Sequence[Path], as_json: bool, timeout: float | None) -> int:
    """Wait for the responses to the images of a job, and show them.

    Another command may still be sending the job's images, or receiving its responses; this one then looks on.

    \b
    Example:
      predictions wait last --output run.csv
    """
    from client.results.output import Messages, show_records
    from client.results.result_files import append_missing

    messages = Messages()
    with open_store(state) as store:
        job = store.find(job_id)
        try:
            _wait(job, messages, timeout)
        except KeyboardInterrupt:
            messages.clear()
            messages.show(f"the job goes on: predictions wait {job.id}")
            return options.INTERRUPTED
        messages.clear()
        are_complete = append_missing(output, job.records, messages.show)
        if as_json:
            for record in job.records():
                print(json.dumps(record.to_row()))
        else:
            show_records(job.records(), all_labels=False, total=job.counts().total)
        counts = job.counts()
        messages.show(_summary(counts))
        return 0 if are_complete and counts.ok == counts.total and job.is_listed else 1


@click.command(
    cls=options.Command,
    epilog="""\b
Exit codes:
  0    the job is cancelled
  2    wrong usage, or no such job""",
)
@job_id
@options.state
@options.output
def cancel(job_id: str, state: Path | None, output: Sequence[Path]) -> int:
    """End a job: send no more of its images, keep the responses that have arrived, and show their number.

    The worker still scores what was sent. Responses that arrive later are not kept.

    \b
    Example:
      predictions cancel last --output answered.csv
    """
    from client.results.output import Messages
    from client.results.result_files import append_missing

    messages = Messages()
    with open_store(state) as store:
        job = store.find(job_id)
        job.cancel()
        _receive_waiting(job, messages)
        append_missing(output, job.answered_records, messages.show)
        print(f"cancelled {job.id}: {_summary(job.counts())}")
    return 0


@click.command(
    cls=options.Command,
    epilog="""\b
Exit codes:
  0    done
  2    wrong usage, or no such job""",
)
@options.state
@options.option("--all", "show_all", is_flag=True, help=f"List all jobs, not only the newest {_LISTED}.")
@options.option("--json", "as_json", is_flag=True, help="Print one JSON line for each job.")
@options.option("--forget", metavar="JOB", multiple=True, help="Remove this job and its results. May be repeated.")
def jobs(state: Path | None, show_all: bool, as_json: bool, forget: Sequence[str]) -> int:
    """List the jobs of this machine, the newest first.

    \b
    Example:
      predictions jobs
    """
    from client.jobs.description import describe
    from client.results.output import Messages
    from client.table import show_table
    from client.text import brief

    with open_store(state) as store:
        for each in [store.find(name) for name in forget]:
            store.forget(each)
        found = []
        for number, job in enumerate(store.jobs()):
            if number == _LISTED and not show_all:
                Messages().show("older jobs are left out: --all lists them")
                break
            found.append(describe(job))
    if as_json:
        for described in found:
            print(json.dumps(described))
    elif found:
        rows = [(j["job"], j["state"], f"{j['images']:,}", f"{j['answered']:,}", brief(j["sends"])) for j in found]
        show_table(("job", "state", "images", "answered", "sends"), rows, right=("images", "answered"))
    return 0


class _Waiting:
    """Shows how far a job is, and knows when waiting for it ends."""

    def __init__(self, job: Job, messages: Messages, timeout_s: float | None) -> None:
        self._job, self._messages, self._timeout_s = job, messages, timeout_s
        self._answered, self._since = -1, time.monotonic()

    def is_over(self, *, alone: bool) -> bool:
        """Whether nothing more is awaited; `alone`: no other command sends images of the job."""
        counts = self._job.counts()
        if counts.answered != self._answered:
            self._answered, self._since = counts.answered, time.monotonic()
        self._messages.progress(counts.answered, counts.total if self._job.is_listed else None)
        late = self._timeout_s is not None and time.monotonic() - self._since > self._timeout_s
        return late or self._job.is_cancelled or self._job.is_complete() or (alone and not counts.unanswered)


def _wait(job: Job, messages: Messages, timeout_s: float | None) -> None:
    from client.jobs.hold import JobHeld
    from client.jobs.responses import receiving

    waiting = _Waiting(job, messages, timeout_s)
    while not waiting.is_over(alone=False):
        try:
            with receiving(job, messages.show) as receiver:
                while not receiver.problem and not waiting.is_over(alone=True):
                    time.sleep(_POLL_S)
        except JobHeld:
            time.sleep(_POLL_S)
        else:
            if receiver.problem:
                messages.show(receiver.problem)
            break
    counts = job.counts()
    if (unsent := counts.waiting + counts.failed) and not job.is_cancelled:
        messages.show(f"{unsent:,} images are not sent: {job.definition.way_on(job.id)}")
    elif not job.is_listed and not job.is_cancelled:
        messages.show(f"not all images were read: {job.definition.way_on(job.id)}")


def _receive_waiting(job: Job, messages: Messages) -> None:
    """Receive the responses that wait for a job; says why where that is not possible."""
    from client.jobs.hold import JobHeld
    from client.jobs.responses import receiving
    from client.text import SendError

    if not job.definition.client_id or job.is_complete():
        return
    try:
        with receiving(job, messages.show) as receiver:
            while not receiver.problem and receiver.idle_s < _IDLE_S:
                time.sleep(_POLL_S)
            if receiver.problem:
                messages.show(receiver.problem)
    except JobHeld:
        pass  # that command receives them
    except (UsageError, SendError) as exc:
        messages.show(f"no responses were received: {exc}")


def _summary(counts: Counts) -> str:
    parts = [f"{counts.ok:,} of {counts.total:,} answered"]
    parts += [f"{count:,} {code}" for code, count in counts.errors.items()]
    for count, what in ((counts.unanswered, "without an answer"), (counts.failed + counts.waiting, "not sent")):
        if count:
            parts.append(f"{count:,} {what}")
    return ", ".join(parts)
