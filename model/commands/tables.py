"""Tables for a terminal of any width, and the texts of their cells."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from datetime import datetime

from model.registry.aliases import Alias

_GAP = "  "
"""What separates two columns."""

_LEAST = 12
"""The least width of a last column that is wrapped."""

_NO_BREAK = "\N{NO-BREAK SPACE}"

_DIGEST = 12
"""Hexadecimal digits of a digest that are shown."""


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], indent: str = "") -> str:
    """Aligned columns, of which the last one is wrapped where the terminal is too narrow.

    On a still narrower terminal each row becomes a paragraph with a line for each cell.
    """
    lines = [list(headings), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    left = _columns() - len(indent) - sum(widths[:-1]) - len(_GAP) * (len(widths) - 1)
    if left < min(widths[-1], _LEAST):
        return "\n".join(_paragraph(headings, row, indent) for row in rows)
    return "\n".join(_line(line, widths, left, indent) for line in lines)


def facts(rows: Sequence[tuple[str, str]], indent: str = "") -> str:
    """A line for each key and its value, which is wrapped where the terminal is too narrow."""
    width = max(len(key) for key, _ in rows)
    left = _columns() - len(indent) - width - len(_GAP)
    return "\n".join(_line(row, [width], left, indent) for row in rows)


def _line(cells: Sequence[str], widths: Sequence[int], left: int, indent: str) -> str:
    """The cells, of which the last one has `left` columns."""
    before = indent + "".join(cell.ljust(width) + _GAP for cell, width in zip(cells[:-1], widths, strict=False))
    unbroken = cells[-1].replace(" %", f"{_NO_BREAK}%")
    wrapped = textwrap.wrap(unbroken, max(left, _LEAST), break_long_words=False, break_on_hyphens=False) or [""]
    wrapped = [text.replace(f"{_NO_BREAK}%", " %") for text in wrapped]
    return "\n".join(
        ((before if number == 0 else " " * len(before)) + text).rstrip() for number, text in enumerate(wrapped)
    )


def _paragraph(headings: Sequence[str], row: Sequence[str], indent: str) -> str:
    label = max(map(len, headings[1:]), default=0)
    cells = zip(headings[1:], row[1:], strict=True)
    return "\n".join(
        [indent + row[0], *(f"{indent}  {heading.ljust(label)}  {cell}" for heading, cell in cells if cell)]
    )


def short(digest: str) -> str:
    """The first digits of a digest."""
    return digest.removeprefix("sha256:")[:_DIGEST]


def when(moment: datetime) -> str:
    """A time in UTC, in minutes: `2026-11-29 08:00`."""
    return f"{moment:%Y-%m-%d %H:%M}"


def minute(moment: str) -> str:
    """As `when`, of a time in RFC 3339; another text in its first 16 characters."""
    return moment[:16].replace("T", " ")


def share(alias: Alias) -> str:
    """The part of an alias in the traffic: `5 %`, `shadow`, or nothing."""
    percent = "" if alias.percent is None else f"{alias.percent:g} %"
    return ", ".join(filter(None, [percent, "shadow" if alias.shadow else ""]))


def _columns() -> int:
    """The columns of the terminal; on no terminal there is no limit."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
