"""Output of the commands: tables and JSON lines on stdout, messages and progress on stderr. File names are escaped."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any, Protocol

from client.results.request_tracker import Outcome
from client.table import show_table
from client.text import brief, printable, shown
from functions.messages.contract import Response, encode_response

_MAX_LISTED = 10
"""Lines about single images that a message prints: thousands of them would hide the sentences before."""

_HEADINGS = ("file", "label", "score", "ms")

Row = tuple[str, str, str, str]


class View(Protocol):
    """Shows outcomes."""

    def add(self, outcome: Outcome) -> None:
        """Take the outcome of one image."""
        ...

    def close(self) -> None:
        """Show what is left: there are no more outcomes."""
        ...


class Table:
    """A table at the end, in the order of the image files; with `all_labels` it has a row for each label."""

    def __init__(self, order: Sequence[str], all_labels: bool) -> None:
        self._position = {path: number for number, path in enumerate(order)}
        self._all_labels = all_labels
        self._outcomes: list[Outcome] = []

    def add(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)

    def close(self) -> None:
        ordered = sorted(self._outcomes, key=lambda o: self._position.get(o.image.location, len(self._position)))
        if ordered:
            show_rows([row for outcome in ordered for row in rows(outcome, self._all_labels)])


class JsonLines:
    """One JSON line for each image, as soon as its outcome is known."""

    def add(self, outcome: Outcome) -> None:
        line = {
            "file": outcome.image.location,
            "request_id": outcome.request_id or None,
            "trace_id": outcome.trace_id or None,
            "ms": round(outcome.ms, 1) if outcome.response else None,
            "response": as_json(outcome.response) if outcome.response else None,
            "problem": outcome.problem or None,
        }
        print(json.dumps(line), flush=True)

    def close(self) -> None:
        pass


class RequestIds:
    """The request id and the file of each image that was sent, one line each: the output of --no-wait."""

    def add(self, outcome: Outcome) -> None:
        if outcome.ok:
            print(f"{printable(outcome.request_id)}\t{shown(outcome.image)}", flush=True)

    def close(self) -> None:
        pass


class Messages:
    """Messages and a progress line on stderr. The progress line appears only on a terminal."""

    def __init__(self) -> None:
        self._on_terminal = sys.stderr.isatty()

    def show(self, text: str) -> None:
        """Print a message on a line of its own."""
        print(f"\r\033[K{text}" if self._on_terminal else text, file=sys.stderr, flush=True)

    def show_first(self, lines: Sequence[str], rest: str = "") -> None:
        """Print the first lines, and count the others; `rest` ends that line."""
        for line in lines[:_MAX_LISTED]:
            self.show(line)
        if (more := len(lines) - _MAX_LISTED) > 0:
            self.show(f"  and {more:,} more{rest}")

    def progress(self, done: int, total: int) -> None:
        """Show how many images are done. The next output overwrites this line."""
        if self._on_terminal:
            print(f"\r\033[K{done:,} of {total:,}", end="", file=sys.stderr, flush=True)

    def progress_count(self, done: int) -> None:
        """Show how many responses arrived, where the total is unknown. The next output overwrites this line."""
        if self._on_terminal:
            print(f"\r\033[K{done:,} responses", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Remove the progress line."""
        if self._on_terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def rows(outcome: Outcome, all_labels: bool = False) -> list[Row]:
    """Return an outcome as table rows whose text is safe to print."""
    file, response = shown(outcome.image), outcome.response
    if response is None:
        return [(file, outcome.problem or "sent", "", "")]
    ms = f"{outcome.ms:.0f}"
    if response.error:
        return [(file, brief(f"{response.error.code}: {response.error.message}"), "", ms)]
    best, *others = [(brief(p.label), brief(f"{p.score:.4f}")) for p in response.predictions] or [("no label", "")]
    return [(file, *best, ms), *(("", *other, "") for other in others if all_labels)]


def show_rows(table: Sequence[Row]) -> None:
    """Print a table."""
    show_table(_HEADINGS, table, right=("score", "ms"))


def as_json(response: Response) -> Any:
    """Return a response as a JSON object in the form of the message contract."""
    return json.loads(encode_response(response))
