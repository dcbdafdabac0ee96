"""What a person or a program sees: tables and JSON lines on stdout, talk on stderr. Names are printed harmlessly."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any, Protocol

from client.results.request_tracker import Outcome
from client.text import brief, printable, shown
from functions.messages.contract import Response, encode_response

_HEADINGS = ("file", "label", "score", "ms")

Row = tuple[str, str, str, str]


class View(Protocol):
    """Shows outcomes."""

    def add(self, outcome: Outcome) -> None:
        """One more picture has ended."""
        ...

    def close(self) -> None:
        """That was the last."""
        ...


class Table:
    """A table at the end, in the pictures' own order; with `all_labels` a row for each label."""

    def __init__(self, order: Sequence[str], all_labels: bool) -> None:
        self._place = {path: number for number, path in enumerate(order)}
        self._all_labels = all_labels
        self._outcomes: list[Outcome] = []

    def add(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)

    def close(self) -> None:
        ordered = sorted(self._outcomes, key=lambda o: self._place.get(str(o.picture.path), len(self._place)))
        if ordered:
            show_rows([row for outcome in ordered for row in rows(outcome, self._all_labels)])


class JsonLines:
    """One JSON line a picture, as soon as it ends."""

    def add(self, outcome: Outcome) -> None:
        line = {
            "file": str(outcome.picture.path),
            "request_id": outcome.request_id or None,
            "trace_id": outcome.trace_id or None,
            "ms": round(outcome.ms, 1) if outcome.response else None,
            "response": as_json(outcome.response) if outcome.response else None,
            "problem": outcome.problem or None,
        }
        print(json.dumps(line), flush=True)

    def close(self) -> None:
        pass


class Ids:
    """The request's id and the file, one line a picture: what was sent without waiting."""

    def add(self, outcome: Outcome) -> None:
        if outcome.ok:
            print(f"{printable(outcome.request_id)}\t{shown(outcome.picture)}", flush=True)

    def close(self) -> None:
        pass


class Talk:
    """Sentences and progress on stderr; progress only where a person looks."""

    def __init__(self) -> None:
        self._lively = sys.stderr.isatty()

    def say(self, text: str) -> None:
        """A line of its own."""
        print(f"\r\033[K{text}" if self._lively else text, file=sys.stderr, flush=True)

    def progress(self, done: int, total: int) -> None:
        """How far it is; overwritten by what comes next."""
        if self._lively:
            print(f"\r\033[K{done:,} of {total:,}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the progress away."""
        if self._lively:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def rows(outcome: Outcome, all_labels: bool = False) -> list[Row]:
    """An outcome as table rows; the text is harmless to print."""
    file, response = shown(outcome.picture), outcome.response
    if response is None:
        return [(file, outcome.problem or "sent", "", "")]
    ms = f"{outcome.ms:.0f}"
    if response.error:
        return [(file, brief(f"{response.error.code}: {response.error.message}"), "", ms)]
    best, *others = [(brief(p.label), brief(f"{p.score:.4f}")) for p in response.predictions] or [("no label", "")]
    return [(file, *best, ms), *(("", *other, "") for other in others if all_labels)]


def show_rows(table: Sequence[Row]) -> None:
    """Print a table: with rules and colour on a terminal, as aligned text elsewhere."""
    if sys.stdout.isatty():
        _show_richly(table)
        return
    lines = [_HEADINGS, *table]
    file, label, score, ms = (max(len(line[i]) for line in lines) for i in range(4))
    for line in lines:
        text = f"{line[0]:<{file}}  {line[1]:<{label}}  {line[2]:>{score}}  {line[3]:>{ms}}"
        print(text.rstrip())


def as_json(response: Response) -> Any:
    """A response's JSON, as the contract has it."""
    return json.loads(encode_response(response))


def _show_richly(table: Sequence[Row]) -> None:
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable()
    for heading in _HEADINGS:
        drawn.add_column(heading, justify="right" if heading in {"score", "ms"} else "left", overflow="fold")
    for line in table:
        # Text, not str: a file may be called [red].
        drawn.add_row(*(Text(cell) for cell in line))
    Console().print(drawn)
