"""Tables of dead letters: with rules on a terminal, as aligned text elsewhere. All text is escaped."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from client.dead_letters.dead_letter import MAX_REDRIVES, DeadLetter
from client.dead_letters.summary import Summary, age_text
from client.text import brief
from functions.messages.contract import encode_time


def show_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table."""
    lines = [[brief(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _show_on_terminal(headings, lines)
        return
    widths = [max(map(len, column)) for column in zip(headings, *lines, strict=True)]
    for line in (headings, *lines):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def details(dead_letter: DeadLetter, reason: str, now: datetime) -> str:
    """Return the lines that `show` prints of a dead letter."""
    request, age = dead_letter.request, age_text((now - dead_letter.died_at).total_seconds())
    redrives = "unknown" if dead_letter.redrives is None else str(dead_letter.redrives)
    fields = {
        "request id": request.request_id,
        "message id": dead_letter.message_id,
        "dead since": f"{encode_time(dead_letter.died_at)} ({age})",
        "sent at": dead_letter.sent_at or "unknown",
        "attempts": str(request.dead_letter_attempts or "unknown"),
        "redriven": f"{redrives}, of {MAX_REDRIVES} at most",
        "reason": reason,
        "payload": dead_letter.payload,
    }
    lines = [f"{name:<12}{brief(text)}" for name, text in fields.items()]
    lines += ["attributes", *(f"  {name} = {text}" for name, text in _escaped(dead_letter.attributes).items())]
    return "\n".join(lines)


def details_json(dead_letter: DeadLetter, summary: Summary, now: datetime) -> dict[str, Any]:
    """Return the JSON line that `show` prints of a dead letter."""
    more = {"payload": dead_letter.payload, "attributes": dict(dead_letter.attributes)}
    return summary.json(now) | {"sent_at": dead_letter.sent_at or None} | more


def _escaped(attributes: Mapping[str, str]) -> dict[str, str]:
    return {brief(name): brief(attributes[name]) for name in sorted(attributes)}


def _show_on_terminal(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table()
    for heading in headings:
        drawn.add_column(
            heading, overflow="fold", justify="right" if heading in {"age", "attempts", "size"} else "left"
        )
    for line in lines:
        drawn.add_row(*map(Text, line))  # rich reads markup in a str
    Console().print(drawn)
