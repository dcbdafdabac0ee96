"""The command evaluate: measures the predictions of results files on labelled images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from client.cli import options
from client.gcp import UsageError


@click.command(
    cls=options.Command,
    epilog="""\b
Exit codes:
  0    every labelled image has predictions, or the worker refused it
  1    labelled images have no response, or an error that is not about them
  2    wrong usage, or a file that cannot be read""",
)
@click.argument(
    "results", nargs=-1, required=True, type=options.FilePath(), metavar="RESULTS...", help="Results files of one run."
)
@options.option(
    "--labels",
    required=True,
    type=options.FilePath(),
    metavar="PATH",
    help="The true labels: a folder with a folder of images for each label, or a CSV file with file,label.",
)
@options.option(
    "--artifact",
    type=options.FilePath(),
    metavar="FOLDER",
    help="The model's artifact. Its labels then are the only ones allowed.",
)
@options.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def evaluate(results: Sequence[Path], labels: Path, artifact: Path | None, as_json: bool) -> int:
    """Measure accuracy, precision, recall and F1 of predictions on labelled images.

    An image with an error response is skipped and counted, as predictions model evaluate does.

    \b
    Example:
      predictions publish photos/ --output run.csv
      predictions evaluate run.csv --labels photos/
    """
    from client.report.evaluation import evaluate as measure
    from client.report.evaluation import never_predicted
    from client.report.truth import read_truth
    from client.results.output import Messages
    from client.results.result_files import read_distinct
    from client.text import printable
    from model.text import printable_lines

    messages = Messages()
    known = _labels(artifact) if artifact else ()
    found = measure(read_distinct(results, messages.show), read_truth(labels), known)
    print(json.dumps(found.to_dict()) if as_json else printable_lines(found.to_text()))
    for code, count in found.skipped.items():
        messages.show(f"skipped {count:,} images with the error {printable(code)}")
    if found.unlabelled:
        messages.show(f"{found.unlabelled:,} rows have no label and are not measured")
    if found.unanswered:
        messages.show(
            f"{len(found.unanswered):,} labelled images have no predictions and are not measured, such as "
            f"{printable(found.unanswered[0])}"
        )
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
