"""The command watch-folder: publishes the images of a folder as they appear."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from client.cli import options, sending_options
from client.cli.broker_options import place
from client.cli.job_options import open_store
from client.gcp import Cloud, UsageError

if TYPE_CHECKING:
    from client.jobs.definition import Definition
    from client.jobs.job import Job
    from client.results.output import Messages, View
    from client.results.request_tracker import Outcome
    from client.results.result_files import ResultFiles
    from client.transport.base import SendOptions


@click.command(
    cls=options.Command,
    epilog="""\b
Exit codes:
  0    with --once: every image of the folder has its labels
  1    with --once: some have an error, or could not be sent; or the job was
       cancelled
  2    wrong usage
  130  interrupted with Ctrl-C; the same command goes on""",
)
@click.argument("folder", metavar="DIR", type=options.FilePath(), help="The folder; its folders are watched too.")
@options.option(
    "--move-to",
    "done",
    type=options.FilePath(),
    metavar="DONE",
    help="Move each file to this folder when its labels have arrived, or to DONE/errors after an error.",
)
@options.option("--once", is_flag=True, help="End when the images that are in the folder are answered.")
@options.option(
    "--settle",
    type=options.SECONDS,
    default=1.0,
    metavar="S",
    help="Take a file when its size and time of change stay the same for S seconds.  [default: 1]",
)
@options.option("--json", "as_json", is_flag=True, help="Print one JSON line for each image.")
@options.output
@sending_options.request
@place
@options.receiving
@options.topic
@options.payload_bucket
@options.state
@click.pass_obj
def watch_folder(
    environ: Mapping[str, str],
    /,
    folder: Path,
    done: Path | None,
    once: bool,
    settle: float,
    as_json: bool,
    output: Sequence[Path],
    top_k: int | None,
    model: str | None,
    state: str | None,
    **places: str,
) -> int:
    """Publish the images of a folder as they appear, and print each response, until Ctrl-C.

    What was published and answered is kept in the job store: after a restart, the same command publishes only what is
    new, and receives the responses that are missing. A file that changes is published again: its path, size and time
    of change decide.

    \b
    Examples:
      predictions watch-folder inbox/ --output run.csv
      predictions watch-folder inbox/ --move-to done/
      predictions watch-folder inbox/ --once
    """
    from client.results.output import Messages
    from client.transport.base import SendOptions
    from client.transport.broker import check_reachable
    from client.transport.topic import inline_limit
    from client.watching.connection import Route, watch_steadily
    from client.watching.done_folder import DoneFolder
    from client.watching.folder_job import folder_job
    from client.watching.folder_watch import FolderWatch

    if not folder.is_dir():
        raise UsageError(f"DIR is {str(folder)!r}; it must be a folder that exists")
    mover = DoneFolder(done, folder) if done else None
    cloud = Cloud(**{name: places[name] for name in ("project", "topic", "response_topic", "broker", "kafka_config")})
    check_reachable(cloud, bucket=places["bucket"])
    route = Route(cloud, SendOptions(top_k, model), places["bucket"], inline_limit(environ))
    messages = Messages()
    with open_store(state) as store:
        job = folder_job(store, _definition(folder, places, route.options))
        view, files = _open_view(job, messages, as_json, output)
        watch = FolderWatch(folder, job, view, messages, mover, settle)
        with closing(view):
            try:
                is_over = watch_steadily(watch, job, route, messages, once=once)
            except KeyboardInterrupt:
                watch.show_received()
                is_over = None
        _show_end(job, messages)
        if is_over is None:
            return options.INTERRUPTED
        return 0 if is_over and not watch.bad and not (files and files.failed) else 1


def _definition(folder: Path, places: Mapping[str, str], request: SendOptions) -> Definition:
    from client.jobs.definition import Definition, current_place
    from client.watching.folder_job import COMMAND, selection

    return Definition(
        command=COMMAND,
        described=str(folder),
        client_id=uuid.uuid4().hex,
        place="" if places["broker"] else current_place(),
        selection=selection(folder),
        options=request,
        **places,
    )


def _open_view(job: Job, messages: Messages, as_json: bool, output: Sequence[Path]) -> tuple[View, ResultFiles | None]:
    """Return the view of the responses, and the results files, which get the rows of earlier runs that they lack."""
    from client.results.output import JsonLines
    from client.results.result_files import ResultFiles, open_writers

    view: View = JsonLines() if as_json else _Lines()
    if not output:
        return view, None
    files = ResultFiles(view, open_writers(output, messages.show), messages)
    files.catch_up(job.answered_records)
    return files, files


class _Lines:
    """One line for each response: its time, its image, and the best label or the error."""

    def add(self, outcome: Outcome) -> None:
        from client.cli.watch import line

        if outcome.response:
            print(line(outcome.response, outcome.image.location), flush=True)

    def close(self) -> None:
        pass


def _show_end(job: Job, messages: Messages) -> None:
    counts = job.counts()
    errors, unsent = sum(counts.errors.values()), counts.waiting + counts.failed
    messages.show(
        f"{counts.ok:,} of {counts.total:,} answered"
        + (f", {errors:,} with an error" if errors else "")
        + (f", {counts.unanswered:,} without an answer" if counts.unanswered else "")
        + (f", {unsent:,} not sent" if unsent else "")
    )
