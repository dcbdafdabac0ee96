"""Output of the commands: tables and JSON lines on stdout, messages and progress on stderr. File names are escaped."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from client.period import duration
from client.results.record import NO_LABEL, Record
from client.results.request_tracker import Outcome
from client.table import show_table
from client.text import brief, printable, shown
from functions.messages.contract import Response, encode_response

MAX_LISTED = 10
"""Lines about single images that a message prints: thousands of them would hide the sentences before."""

_MAX_ROWS = 500
"""Rows of a table on a terminal. A longer one would scroll away, and takes seconds to draw."""

_MAX_LABELS = 40
"""Rows of the table of labels that a terminal shows instead."""

_HEADINGS = ("file", "label", "score", "ms")

Row = tuple[str, str, str, str]

_PROGRESS_S = 0.1
"""Seconds between two progress lines: more often is not readable, and costs time."""

_RATE_AFTER_S = 2.0
"""Seconds after which the progress line shows a rate. Before, it would jump."""


class View(Protocol):
    """Shows outcomes."""

    def add(self, outcome: Outcome) -> None:
        """Take the outcome of one image."""
        ...

    def close(self) -> None:
        """Show what is left: there are no more outcomes."""
        ...


class Nothing:
    """Shows no outcome: a table of the whole job follows."""

    def add(self, outcome: Outcome) -> None:
        pass

    def close(self) -> None:
        pass


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
        self._since: float | None = None
        self._done, self._shown_at = 0, 0.0

    def show(self, text: str) -> None:
        """Print a message on a line of its own."""
        print(f"\r\033[K{text}" if self._on_terminal else text, file=sys.stderr, flush=True)

    def show_first(self, lines: Sequence[str], rest: str = "", total: int = 0) -> None:
        """Print the first lines, and count the others; `rest` ends that line. `total`: how many there are, if more."""
        for line in lines[:MAX_LISTED]:
            self.show(line)
        if (more := max(len(lines), total) - MAX_LISTED) > 0:
            self.show(f"  and {more:,} more{rest}")

    def progress(self, done: int, total: int | None) -> None:
        """Show how many images are done, a second, and the time left. The next output overwrites this line.

        `total` is None while it is unknown.
        """
        now = time.monotonic()
        if self._since is None:
            self._since, self._done = now, done
        if not self._on_terminal or (now - self._shown_at < _PROGRESS_S and done != total):
            return
        self._shown_at = now
        rate = (done - self._done) / max(now - self._since, 1e-9)
        line = f"{done:,} of {total:,}" if total is not None else f"{done:,}"
        if now - self._since > _RATE_AFTER_S and rate > 0:
            line += f"  {rate:,.0f}/s" if rate >= 1 else f"  {60 * rate:,.1f}/min"
            if total is not None and total > done:
                line += f"  {duration((total - done) / rate)} left"
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)

    def progress_count(self, done: int) -> None:
        """Show how many responses arrived, where the total is unknown. The next output overwrites this line."""
        if self._on_terminal:
            print(f"\r\033[K{done:,} responses", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Remove the progress line."""
        if self._on_terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def rows(record: Record, all_labels: bool = False) -> list[Row]:
    """Return a record as table rows whose text is safe to print; with `all_labels` a row for each label."""
    file, ms = brief(record.file), "" if record.client_ms is None else f"{record.client_ms:.0f}"
    if record.status == "error":
        return [(file, brief(f"{record.error_code}: {record.error_message}"), "", ms)]
    if record.status != "ok":
        return [(file, brief(record.problem) or "sent", "", "")]
    listed = [(p.label, p.score) for p in record.predictions] if all_labels else record.assigned
    first, *others = [(brief(label), _score(score)) for label, score in listed] or [(NO_LABEL, "")]
    return [(file, *first, ms), *(("", *other, "") for other in others)]


def _score(score: float | None) -> str:
    return "" if score is None else brief(f"{score:.4f}")


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of records, which are read again each time."""

    records: Callable[[], Iterable[Record]]
    all_labels: bool

    def __iter__(self) -> Iterator[Row]:
        return (row for record in self.records() for row in rows(record, self.all_labels))


@dataclass
class _Counted:
    """Records, of which each reading counts the models."""

    records: Callable[[], Iterable[Record]]
    models: Counter[str] = field(default_factory=Counter)

    def __call__(self) -> Iterator[Record]:
        self.models.clear()
        for record in self.records():
            if record.answered:
                self.models[f"{record.model_name} {record.model_version}"] += 1
            yield record


def show_records(records: Callable[[], Iterable[Record]], all_labels: bool, total: int) -> str:
    """Print the table of a job's records; on a terminal, the counts of labels where the table would be long.

    `records` returns them each time that it is called, so that they need not be in memory. Returns how many images each
    model answered where it is more than one, such as stable and a canary; else "".
    """
    counted = _Counted(records)
    if total > _MAX_ROWS and sys.stdout.isatty():
        show_table(("label", "images", "mean score"), _by_label(counted()), right=("images", "mean score"))
    elif total:
        show_rows(_Rows(counted, all_labels))
    models = [f"{brief(model)}: {count:,}" for model, count in counted.models.most_common(MAX_LISTED)]
    return f"answered by {', '.join(models)}" if len(models) > 1 else ""


def _by_label(records: Iterable[Record]) -> list[tuple[str, str, str]]:
    counts: Counter[str] = Counter()
    scores: dict[str, float] = defaultdict(float)
    for record in records:
        found = record.assigned or ((NO_LABEL if record.answered else record.error_code or "no answer", None),)
        for label, score in found:
            counts[label] += 1
            scores[label] += score or 0.0
    return [
        (brief(label), f"{count:,}", f"{scores[label] / count:.4f}" if scores[label] else "")
        for label, count in counts.most_common(_MAX_LABELS)
    ]


def show_rows(table: Iterable[Row]) -> None:
    """Print a table."""
    show_table(_HEADINGS, table, right=("score", "ms"))


def as_json(response: Response) -> Any:
    """Return a response as a JSON object in the form of the message contract."""
    return json.loads(encode_response(response))
