"""The command compare: says image by image how the predictions of two results files differ."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from client.cli import options
from client.gcp import UsageError

if TYPE_CHECKING:
    from client.report.truth import Truth
    from client.results.record import Record


@click.command(
    cls=options.Command,
    epilog="""\b
Exit codes:
  0    every image is in both files, with the same best label or none in both
  1    some images differ, or are in one file alone
  2    wrong usage, or a file that cannot be read""",
)
@click.argument("a", type=options.FilePath(), metavar="A", help="Results file of one run.")
@click.argument("b", type=options.FilePath(), metavar="B", help="Results file of the other run.")
@options.option(
    "--labels",
    type=options.FilePath(),
    metavar="PATH",
    help="The true labels, as for evaluate: also show which run is right.",
)
@options.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def compare(a: Path, b: Path, labels: Path | None, as_json: bool) -> int:
    """Compare two results files: two runs, two models, or a candidate and the stable worker.

    Rows belong together that have the same file; what is then left, by request id.

    \b
    Examples:
      predictions compare stable.csv candidate.csv
      predictions compare stable.csv candidate.csv --labels photos/ --json
    """
    from client.jobs.rows import read_rows
    from client.report.truth import read_truth
    from client.results.output import Messages

    show = Messages().show
    old, new = read_rows([a], show), read_rows([b], show)
    return show_comparison((str(a), str(b)), old, new, read_truth(labels) if labels else None, as_json=as_json)


def show_comparison(
    names: tuple[str, str], old: Sequence[Record], new: Sequence[Record], truth: Truth | None = None, *, as_json: bool
) -> int:
    """Print how two runs differ, and return the exit code. Raises UsageError when they have no image in common."""
    from client.report import comparison_output as output
    from client.report.by_image import refuse_repeated
    from client.report.comparison import compare as paired
    from client.report.comparison import correctness
    from client.report.summary import summarize
    from client.results.output import Messages
    from client.text import printable

    messages = Messages()
    runs = summarize(old), summarize(new)
    found = paired(runs[0].records, runs[1].records)
    for name, repeated in zip(names, found.repeated, strict=True):
        refuse_repeated(repeated, printable(name))
    if not found.pairs:
        raise UsageError(f"{printable(names[0])} and {printable(names[1])} have no file and no request id in common")
    right = correctness(found, truth) if truth else None
    if as_json:
        print(json.dumps(output.to_dict(names, runs, found, right)))
    else:
        print("\n".join(output.to_lines(names, runs, found, right)))
    if right and right.unmeasured:
        messages.show(f"{right.unmeasured:,} labelled images have no predictions in both files and are not measured")
    for label in right.never if right else ():
        messages.show(f"{printable(label)} is never predicted; is it a label of the models?")
    return 0 if found.is_equal else 1
