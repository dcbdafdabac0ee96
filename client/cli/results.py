"""The command group results: finds rows in results files by request id or file."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from client.cli import options

if TYPE_CHECKING:
    from client.results.record import Record


@click.group()
def results() -> None:
    """Find rows in results files, which --output and collect write."""


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
    required=True,
    metavar="RESULTS",
    help="Results file to search. May be repeated, and more files may follow.",
)
@click.argument("more", nargs=-1, type=options.FilePath(), metavar="[RESULTS]...", help="More results files.")
@options.option("--json", "as_json", is_flag=True, help="Print one JSON line for each row.")
def find(key: str, paths: Sequence[Path], more: Sequence[Path], as_json: bool) -> int:
    """Print every row with this request id or file.

    A file is found by its whole path as it was given, and by its name without folders.

    \b
    Example:
      predictions results find shoe.png --in results.csv other.sqlite
    """
    from client.results.output import Messages
    from client.results.result_files import read_records
    from client.text import printable

    messages, found = Messages(), 0
    for path in (*paths, *more):
        for record in read_records(path, messages.show):
            if key == record.request_id or key == record.file or key == record.file.rpartition("/")[2]:
                found += 1
                print(json.dumps(record.to_row()) if as_json else _described(path, record))
    sys.stdout.flush()
    if not found:
        messages.show(f"no row has the request id or file {printable(key)}")
    return 0 if found else 1


def _described(path: Path, record: Record) -> str:
    """Return a row as lines of column and value, without the empty ones."""
    from client.results.record import to_cells
    from client.text import brief, printable

    cells = {name: value for name, value in to_cells(record).items() if value not in ("", None, "[]")}
    return "\n".join(
        [f"{printable(str(path))}:", *(f"  {name:<16} {brief(str(value))}" for name, value in cells.items())]
    )
