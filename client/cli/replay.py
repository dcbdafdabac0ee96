"""The command replay: sends the images of earlier results again, and compares the predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from client.cli import options
from client.cli.commands import publish_job
from client.cli.sending_options import resending
from client.gcp import UsageError

if TYPE_CHECKING:
    from client.jobs.job import Job
    from client.results.record import Record


@click.command(
    cls=options.Command,
    epilog="""\b
Exit codes:
  0    every image has the same best label as before, or none as before
  1    some images differ, or have no answer
  2    wrong usage, or a file that cannot be read
  130  interrupted with Ctrl-C""",
)
@click.argument(
    "results",
    nargs=-1,
    required=True,
    type=options.FilePath(),
    metavar="RESULTS...",
    help="Results files, or jobs such as job:last.",
)
@options.option(
    "--model",
    metavar="NAME[@ALIAS|@VERSION]",
    help="Request this model; a worker without it answers with an error.",
)
@options.option("--since", metavar="TIME", help="Only images answered since TIME: 24h or 7d, a date, or a time.")
@options.option("--until", metavar="TIME", help="Only images answered before TIME.")
@resending
@click.pass_obj
def replay(
    environ: Mapping[str, str], /, results: Sequence[Path], since: str | None, until: str | None, **given: Any
) -> int:
    """Send the images of earlier results again, perhaps to another model, and compare the predictions.

    The images must still be where they were: files on this machine, or objects in buckets.

    \b
    Examples:
      predictions replay run.csv --topic req_candidate --output candidate.csv
      predictions replay job:last --since 24h --json
    """
    from client.jobs.rows import read_rows
    from client.report.summary import TimeRange
    from client.results.output import Messages

    messages = Messages()
    before, untimed = TimeRange.parse(since, until, datetime.now(UTC)).select(read_rows(results, messages.show))
    if untimed:
        messages.show(f"{untimed:,} rows without a response are not sent again")
    files = list(dict.fromkeys(record.file for record in before if record.file))
    if not files:
        raise UsageError("no row of the results names an image that was answered in this time")
    as_json = given.pop("as_json")

    def compare(job: Job, code: int) -> int:
        shown = _show(before, list(job.records()), job.id, as_json)
        return shown if job.is_complete() else 1

    return publish_job(
        environ, given | {"paths": files, "shown_as": f"replay of {' '.join(map(str, results))}"}, compare
    )


def _show(before: Sequence[Record], after: Sequence[Record], job_id: str, as_json: bool) -> int:
    """Print the comparison, and return the exit code."""
    from client.cli.compare import show_comparison

    return show_comparison(("before", f"job:{job_id}"), before, after, as_json=as_json)
