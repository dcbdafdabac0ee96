"""The commands jobs, status, wait and cancel: what became of the images of a job."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from client.cli import options
from client.cli.job_options import job_id, named, open_store
from client.gcp import UsageError

if TYPE_CHECKING:
    from client.jobs.counts import Counts
    from client.jobs.job import Job
    from client.results.output import Messages

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
def status(job_id: str, state: str | None, as_json: bool) -> int:
    """Show how many images of a job were sent, answered, or have no answer.

    It first receives the responses that wait for the job, unless another command does so at this moment.

    \b
    Example:
      predictions status last
    """
    from client.jobs.description import describe, described_lines
    from client.jobs.waiting import receive_waiting
    from client.results.output import Messages

    messages = Messages()
    with open_store(state) as store:
        job = store.find(job_id)
        receive_waiting(job, messages.show)
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
def wait(job_id: str, state: str | None, output: Sequence[Path], as_json: bool, timeout: float | None) -> int:
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
            messages.show(f"the job goes on: predictions wait {named(job)}")
            return options.INTERRUPTED
        messages.clear()
        are_complete = append_missing(output, job.records, messages.show)
        if as_json:
            for record in job.records():
                print(json.dumps(record.to_row()))
        elif models := show_records(job.records, all_labels=False, total=job.counts().total):
            messages.show(models)
        counts = job.counts()
        messages.show(_summary(counts))
        return 0 if are_complete and job.is_listed and counts.ok == counts.total else 1


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
def cancel(job_id: str, state: str | None, output: Sequence[Path]) -> int:
    """End a job: send no more of its images, keep the responses that have arrived, and show their number.

    The worker still scores what was sent. Responses that arrive later are not kept.

    \b
    Example:
      predictions cancel last --output answered.csv
    """
    from client.jobs import waiting
    from client.results.output import Messages
    from client.results.result_files import append_missing

    messages = Messages()
    with open_store(state) as store:
        job = store.find(job_id)
        waiting.cancel(job, messages.show)
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
def jobs(state: str | None, show_all: bool, as_json: bool, forget: Sequence[str]) -> int:
    """List the jobs of this machine, or of the folder that --state names, the newest first.

    \b
    Example:
      predictions jobs
    """
    from client.results.output import Messages
    from client.table import show_table
    from client.text import brief

    with open_store(state) as store:
        forgotten = [store.find(name) for name in forget]
        for each in forgotten:
            if each.is_held():
                raise UsageError(f"a command works on job {each.id}: predictions cancel {each.id} ends it")
        for each in forgotten:
            store.forget(each)
        found = []
        for number, described in enumerate(store.descriptions()):
            if number == _LISTED and not show_all:
                Messages().show("older jobs are left out: --all lists them")
                break
            found.append(described)
    if as_json:
        for described in found:
            print(json.dumps(described))
    elif found:
        rows = [(j["job"], j["state"], f"{j['images']:,}", f"{j['answered']:,}", brief(j["sends"])) for j in found]
        show_table(("job", "state", "images", "answered", "sends"), rows, right=("images", "answered"))
    return 0


def _wait(job: Job, messages: Messages, timeout_s: float | None) -> None:
    from client.jobs import waiting

    def show(counts: Counts) -> None:
        messages.progress(counts.answered, counts.total if job.is_listed else None)

    if problem := waiting.wait(job, messages.show, timeout_s, show=show):
        messages.show(problem)
    counts = job.counts()
    way_on = f"predictions {job.definition.way_on(named(job))}"
    if job.is_cancelled:
        return
    if not job.is_listed:
        messages.show(f"not all images of the job are known: {way_on}")
    elif counts.unsent:
        messages.show(f"{counts.unsent:,} images are not sent: {way_on}")


def _summary(counts: Counts) -> str:
    parts = [f"{counts.ok:,} of {counts.total:,} answered"]
    parts += [f"{count:,} {code}" for code, count in counts.errors.items()]
    for count, what in ((counts.unanswered, "without an answer"), (counts.unsent, "not sent")):
        if count:
            parts.append(f"{count:,} {what}")
    return ", ".join(parts)
