"""Tables for a terminal of any width, and the texts of their cells."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from datetime import datetime

from model.registry.aliases import Alias

_DIGEST = 12
"""Hexadecimal digits of a digest that are shown."""


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], indent: str = "") -> str:
    """Aligned columns. Where a terminal is narrower, each row becomes a paragraph with a line for each cell."""
    lines = [list(headings), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    if len(indent) + sum(widths) + 2 * (len(widths) - 1) <= _columns():
        return "\n".join(
            (indent + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))).rstrip()
            for line in lines
        )
    label = max(map(len, headings[1:]), default=0)
    return "\n".join(
        "\n".join(
            [
                f"{indent}{row[0]}",
                *(
                    f"{indent}  {heading.ljust(label)}  {cell}"
                    for heading, cell in zip(headings[1:], row[1:], strict=True)
                    if cell
                ),
            ]
        )
        for row in rows
    )


def short(digest: str) -> str:
    """The first digits of a digest."""
    return digest.removeprefix("sha256:")[:_DIGEST]


def when(moment: datetime) -> str:
    """A time in UTC, in minutes: `2026-11-29 08:00`."""
    return f"{moment:%Y-%m-%d %H:%M}"


def share(alias: Alias) -> str:
    """The part of an alias in the traffic: `5 %`, `shadow`, or nothing."""
    percent = "" if alias.percent is None else f"{alias.percent:g} %"
    return ", ".join(filter(None, [percent, "shadow" if alias.shadow else ""]))


def _columns() -> int:
    """The columns of the terminal; on no terminal there is no limit."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
