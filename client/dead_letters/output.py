"""What the commands print of dead letters. All text is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from client.dead_letters.dead_letter import MAX_REDRIVES, DeadLetter
from client.dead_letters.summary import Summary, age_text
from client.table import show_table
from client.text import brief
from functions.messages.contract import encode_time


def show_rows(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table."""
    show_table(headings, [[brief(cell) for cell in row] for row in rows], right=("age", "attempts", "size"))


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
