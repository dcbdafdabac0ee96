"""The command group results: finds rows in results files and in BigQuery by request id or file."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from client.cli import options

if TYPE_CHECKING:
    from client.results.output import Messages
    from client.results.record import Record


@click.group()
def results() -> None:
    """Find rows in jobs, in results files, which --output and collect write, or in BigQuery."""


@results.command(
    cls=options.Command,
    epilog="""\b
Exit codes:
  0    at least one row was found
  1    no row was found
  2    wrong usage, or a file that cannot be read""",
)
@click.argument("key", metavar="REQUEST_ID|FILE", help="A request id, or an image's path or name.")
@options.option(
    "--in",
    "paths",
    type=options.FilePath(),
    multiple=True,
    metavar="RESULTS",
    help="Results file to search, or bigquery:PROJECT.DATASET.TABLE. May be repeated, and more may follow.  [default: "
    "all jobs of the job store]",
)
@click.argument("more", nargs=-1, type=options.FilePath(), metavar="[RESULTS]...", help="More results files.")
@options.option(
    "--project",
    default="",
    envvar="GOOGLE_CLOUD_PROJECT",
    metavar="ID",
    help="Project that runs the search in BigQuery.  [env: GOOGLE_CLOUD_PROJECT; default: the table's]",
)
@options.option(
    "--max-bytes",
    type=options.Number(1, whole=True),
    default=10_000_000_000,
    metavar="N",
    help="Search a table only if BigQuery bills at most N bytes for it.  [default: 10,000,000,000]",
)
@options.option("--json", "as_json", is_flag=True, help="Print one JSON line for each row.")
def find(key: str, paths: Sequence[Path], more: Sequence[Path], project: str, max_bytes: int, as_json: bool) -> int:
    """Print every row with this request id or file.

    A file is found by its whole path as it was given, and by its name without folders.

    \b
    Examples:
      predictions results find shoe.png
      predictions results find shoe.png --in results.csv other.sqlite
      predictions results find REQUEST_ID --in bigquery:p.predictions.responses
    """
    from client.results.bigquery_table import PREFIX
    from client.results.output import Messages
    from client.text import printable

    messages, found = Messages(), 0
    for path in (*paths, *more):
        in_table = str(path).startswith(PREFIX)
        rows = _in_table(path, key, project, max_bytes, messages) if in_table else _in_file(path, key, messages)
        for record in rows:
            found += 1
            print(json.dumps(record.to_row()) if as_json else _described(str(path), record))
    if not paths and not more:
        from client.jobs.rows import find_in_jobs

        for name, record in find_in_jobs(key):
            found += 1
            print(json.dumps(record.to_row()) if as_json else _described(name, record))
    sys.stdout.flush()
    if not found:
        messages.show(f"no row has the request id or file {printable(key)}")
    return 0 if found else 1


def _in_file(path: Path, key: str, messages: Messages) -> Iterator[Record]:
    from client.results.result_files import read_records

    for record in read_records(path, messages.show):
        if key in (record.request_id, record.file, record.file.rpartition("/")[2]):
            yield record


def _in_table(path: Path, key: str, project: str, max_bytes: int, messages: Messages) -> Iterator[Record]:
    from client.results.bigquery_table import MAX_ROWS, Table, find_rows

    for number, record in enumerate(find_rows(Table.parse(str(path)), key, project, max_bytes)):
        if number == MAX_ROWS:
            messages.show(f"there are more than {MAX_ROWS:,} rows; the others are not shown")
            return
        yield record


def _described(where: str, record: Record) -> str:
    """Return a row as lines of column and value, without the empty ones."""
    from client.results.record import to_cells
    from client.text import brief, printable

    cells = {name: value for name, value in to_cells(record).items() if value not in ("", None, "[]")}
    return "\n".join([f"{printable(where)}:", *(f"  {name:<16} {brief(str(value))}" for name, value in cells.items())])
