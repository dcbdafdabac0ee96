"""The command report: one HTML file about results files, and a check for drift whose exit code suits cron."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from client.cli import options
from client.gcp import UsageError

if TYPE_CHECKING:
    from client.report.page import DriftSection, OtherRun
    from client.report.summary import Summary, TimeRange
    from client.results.output import Messages
    from client.results.record import Record

DRIFT = 3
"""Exit code when the predictions drifted."""


@click.command(
    cls=options.Command,
    epilog="""\b
Exit codes:
  0    the report is written; with --reference there is no drift
  1    the report cannot be written
  2    wrong usage, or a file that cannot be read
  3    the report is written, and the predictions drifted

Drift: a stability index above 0.25, or the share of one label differs from
the reference significantly (p < 0.01 with Holm's correction).""",
)
@click.argument(
    "results", nargs=-1, required=True, type=options.FilePath(), metavar="RESULTS...", help="Results files."
)
@options.option(
    "--out",
    type=options.NewFile(".html", ".htm", ""),
    default=Path("report.html"),
    metavar="FILE",
    help="[default: report.html]",
)
@options.option(
    "--since", metavar="TIME", help="Only responses since TIME: a period such as 24h or 7d, a date, or a time."
)
@options.option("--until", metavar="TIME", help="Only responses before TIME.")
@options.option("--compare", type=options.FilePath(), metavar="OTHER", help="Results file of another run.")
@options.option("--compare-since", metavar="TIME", help="Compare only with responses since TIME.")
@options.option("--compare-until", metavar="TIME", help="Compare only with responses before TIME.")
@options.option(
    "--reference", type=options.FilePath(), metavar="ARTIFACT", help="Artifact whose reference drift is measured from."
)
@options.option(
    "--images", type=options.FilePath(), metavar="FOLDER", help="Show thumbnails of images that are in this folder."
)
def report(
    results: Sequence[Path],
    out: Path,
    since: str | None,
    until: str | None,
    compare: Path | None,
    compare_since: str | None,
    compare_until: str | None,
    reference: Path | None,
    images: Path | None,
) -> int:
    """Write a report about results files, as one HTML file that needs no network.

    \b
    Examples:
      predictions report results.sqlite --out week.html --since 7d
      predictions report results.csv --reference my-artifact || echo drift
      predictions report all.csv --since 1d --compare all.csv --compare-until 1d
    """
    from datetime import UTC, datetime

    from client.report.page import render
    from client.report.summary import TimeRange, summarize
    from client.report.thumbnails import Thumbnails
    from client.results.output import Messages
    from client.text import printable
    from client.whole_file import written_whole

    if images and not images.is_dir():
        raise UsageError(f"--images is {printable(str(images))}; it must be a folder")
    if not compare and (compare_since or compare_until):
        raise UsageError("--compare-since and --compare-until need --compare OTHER")
    now, messages = datetime.now(UTC), Messages()
    times = TimeRange.parse(since, until, now)
    other_times = TimeRange.parse(compare_since, compare_until, now, "--compare-")
    notes: list[str] = []
    found = summarize(_rows(results, times, messages, notes))
    drift = _drift(found, reference) if reference else None
    title = f"Predictions: {', '.join(path.name for path in results[:3])}" + (" …" if len(results) > 3 else "")
    compared = _comparison(found, compare, other_times, messages) if compare else None
    with written_whole(out) as part:
        part.write_text(render(title, notes, found, drift, compared, Thumbnails(images) if images else None), "utf-8")
    reasons = drift.assessment.reasons if drift else ()
    for reason in reasons:
        messages.show(f"drift: {printable(reason)}")
    print(f"{printable(str(out))}: {len(found.records):,} rows" + (", no drift" if drift and not reasons else ""))
    return DRIFT if reasons else 0


def _rows(results: Sequence[Path], times: TimeRange, messages: Messages, notes: list[str]) -> list[Record]:
    """Return the rows of the files, and add notes about those that are left out. Raises UsageError without any."""
    from client.jobs.rows import read_rows
    from client.text import printable

    def warn(note: str) -> None:
        notes.append(note)
        messages.show(note)

    records = read_rows(results, warn)
    if limits := str(times):
        records, untimed = times.select(records)
        notes.append(f"Only responses {limits}")
        if untimed:
            warn(f"{untimed:,} rows without a time of a response are left out")
    if not records:
        more = " and the other files hold" if len(results) > 1 else " holds"
        raise UsageError(f"{printable(str(results[0]))}{more} no row to report {limits}".rstrip())
    return records


def _drift(found: Summary, folder: Path) -> DriftSection:
    """Compare the rows of the artifact's own model with its reference. Raises UsageError."""
    from client.report.drift import drift_of, rows_of
    from client.report.page import DriftSection
    from client.text import printable
    from model.artifact.load import read_artifact
    from model.drift import read_reference
    from model.errors import ArtifactError

    try:
        artifact, reference = read_artifact(folder), read_reference(folder)
    except ArtifactError as exc:
        raise UsageError(f"--reference: {printable(str(exc))}"[:300]) from None
    rows = rows_of(found.records, artifact.digest)
    if not rows:
        raise UsageError(
            f"no prediction is of {printable(artifact.name)} {printable(artifact.version)} "
            f"({artifact.digest[:19]}); the results are of {printable(', '.join(found.models) or 'no model')}"[:300]
        )
    try:
        made = drift_of(found.records, artifact.digest, reference)
    except ValueError as exc:
        raise UsageError(f"drift cannot be measured: {printable(str(exc))}"[:300]) from None
    return DriftSection(f"{artifact.name} {artifact.version}", made, len(found.answered) - len(rows))


def _comparison(found: Summary, path: Path, times: TimeRange, messages: Messages) -> OtherRun:
    from client.report.comparison import compare
    from client.report.page import OtherRun
    from client.report.summary import summarize

    notes: list[str] = []
    other = summarize(_rows([path], times, messages, notes))
    return OtherRun(path.name, notes, other, compare(other.records, found.records))
