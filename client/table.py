"""Tables on stdout: with rules on a terminal, as aligned text elsewhere."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Collection, Iterable, Sequence


def show_table(headings: Sequence[str], rows: Iterable[Sequence[str]], right: Collection[str]) -> None:
    """Print a table whose cells are escaped already. `right`: the headings of the columns that are aligned right.

    Elsewhere than on a terminal, `rows` is read twice, and not held in memory.
    """
    if sys.stdout.isatty():
        _show_on_terminal(headings, rows, right)
        return
    widths = [len(heading) for heading in headings]
    for row in rows:
        widths = [max(width, len(cell)) for width, cell in zip(widths, row, strict=True)]
    for row in itertools.chain([headings], rows):
        cells = (
            cell.rjust(width) if heading in right else cell.ljust(width)
            for heading, cell, width in zip(headings, row, widths, strict=True)
        )
        print("  ".join(cells).rstrip())


def _show_on_terminal(headings: Sequence[str], rows: Iterable[Sequence[str]], right: Collection[str]) -> None:
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
