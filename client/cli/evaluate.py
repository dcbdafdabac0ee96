"""The command evaluate: publishes labelled images, or reads results of them, and measures the predictions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from client.cli import options
from client.cli.commands import publish_job
from client.cli.sending_options import given, resending
from client.gcp import UsageError

if TYPE_CHECKING:
    from client.jobs.job import Job
    from client.report.truth import Truth
    from client.results.record import Record


@click.command(
    cls=options.Command,
    epilog="""\b
Exit codes:
  0    every labelled image has predictions, or the worker refused it
  1    labelled images have no response, or an error that is not about them
  2    wrong usage, or a file that cannot be read
  130  interrupted with Ctrl-C""",
)
@click.argument(
    "paths",
    nargs=-1,
    required=True,
    type=options.FilePath(),
    metavar="PATH...",
    help="Labelled images to publish: a folder with a folder of images for each label, or a CSV file with file,label. "
    "With --labels: results of one run, files or a job such as job:last.",
)
@options.option(
    "--labels",
    type=options.FilePath(),
    metavar="LABELS",
    help="Send nothing: measure the results at PATH against these labels, a folder or a CSV file as above.",
)
@options.option(
    "--artifact",
    type=options.FilePath(),
    metavar="FOLDER",
    help="The model's artifact. Its labels then are the only ones allowed.",
)
@resending
@click.pass_obj
def evaluate(
    environ: Mapping[str, str], /, paths: Sequence[Path], labels: Path | None, artifact: Path | None, **sent: Any
) -> int:
    """Measure accuracy, precision, recall and F1 of the pipeline on labelled images.

    An image with an error response is skipped and counted, as predictions model evaluate does.

    \b
    Examples:
      predictions evaluate photos/
      predictions evaluate run.csv --labels photos/
    """
    from client.jobs.rows import read_rows
    from client.report.truth import read_truth
    from client.results.output import Messages

    known, as_json = _labels(artifact) if artifact else (), sent.pop("as_json")
    if labels:
        if flags := given(sent):
            raise UsageError(f"{', '.join(flags.values())}: nothing is sent with --labels")
        return _show(read_rows(paths, Messages().show), read_truth(labels), known, as_json)
    if len(paths) > 1:
        raise UsageError("give one folder or CSV file of labelled images, or results with --labels")
    truth = read_truth(paths[0])

    def measure(job: Job, code: int) -> int:
        return _show(list(job.records()), truth, known, as_json)

    return publish_job(environ, sent | {"paths": list(truth.labels), "shown_as": str(paths[0])}, measure)


def _show(records: Sequence[Record], truth: Truth, known: tuple[str, ...], as_json: bool) -> int:
    """Print the figures, and return the exit code."""
    from client.report.evaluation import evaluate as measure
    from client.report.evaluation import left_out, never_predicted
    from client.results.output import Messages
    from client.text import printable
    from model.text import printable_lines

    messages, found = Messages(), measure(records, truth, known)
    print(json.dumps(found.to_dict()) if as_json else printable_lines(found.to_text()))
    for note in left_out(found):
        messages.show(note)
    for label in () if known else never_predicted(found):
        messages.show(f"{printable(label)} is never predicted; is it a label of the model? --artifact checks that")
    return 1 if found.unanswered else 0


def _labels(artifact: Path) -> tuple[str, ...]:
    """Read the labels of an artifact. Raises UsageError."""
    from client.text import plain, printable
    from model.labels import parse_labels

    path = artifact / "labels.txt"
    try:
        return parse_labels(path.read_text("utf-8"))
    except OSError as exc:
        raise UsageError(f"{printable(str(path))} cannot be read: {plain(exc)}") from None
    except ValueError as exc:
        raise UsageError(f"{printable(str(artifact))}: {printable(str(exc))}") from None
