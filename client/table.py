"""Tables on stdout: with rules on a terminal, as aligned text elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence


def show_table(headings: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[str]) -> None:
    """Print a table whose cells are escaped already. `right`: the headings of the columns that are aligned right."""
    if sys.stdout.isatty():
        _show_on_terminal(headings, rows, right)
        return
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    for row in (headings, *rows):
        cells = (
            cell.rjust(width) if heading in right else cell.ljust(width)
            for heading, cell, width in zip(headings, row, widths, strict=True)
        )
        print("  ".join(cells).rstrip())


def _show_on_terminal(headings: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table()
    for heading in headings:
        drawn.add_column(heading, justify="right" if heading in right else "left", overflow="fold")
    for row in rows:
        # Text and not str, because rich reads markup in a str and a file may be named [red].
        drawn.add_row(*map(Text, row))
    Console().print(drawn)
