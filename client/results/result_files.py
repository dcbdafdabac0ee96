"""Opens results files by the end of their name: .csv, .jsonl, .sqlite, .parquet, and labelstudio.json."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from client.gcp import UsageError
from client.results.derived_files import DerivedWriter, sibling, write_label_studio
from client.results.output import Messages, View
from client.results.parquet_file import parquet_library, read_parquet, write_parquet
from client.results.record import Record, distinct, rank
from client.results.request_tracker import Outcome
from client.results.sqlite_file import SqliteWriter, read_sqlite
from client.results.text_files import CsvFormat, JsonLinesFormat, TextWriter, Warn, read_text
from client.text import StoreError, plain, printable

_KEPT = 2
"""Predictions of a row that figures need: the best, and the second of the least certain images."""

ENDINGS = (".csv", ".jsonl", ".sqlite", ".parquet", "labelstudio.json")


class Writer(Protocol):
    """Appends rows to one results file."""

    def write(self, record: Record) -> None:
        """Write one row; afterwards it survives the end of this process. Raises OSError."""
        ...

    def close(self) -> None:
        """Complete the file. Raises OSError and UsageError."""
        ...


def unwritable(path: Path, exc: OSError) -> str:
    """Return the message about a row that could not be written."""
    return f"{printable(str(path))} cannot be written any more: {plain(exc)}"


def complete(path: Path, writer: Writer) -> str:
    """Complete a file. Returns the message about a failure, or ""."""
    try:
        writer.close()
    except (OSError, UsageError) as exc:
        why = plain(exc) if isinstance(exc, OSError) else exc
        return f"{printable(str(path))} cannot be completed: {why}"
    return ""


def open_writer(path: Path, warn: Warn) -> Writer:
    """Open a results file for appending, and create it. Raises UsageError, which names the file and the reason."""
    ending = _ending(path)
    try:
        if ending == ".csv":
            return TextWriter(path, CsvFormat(), warn)
        if ending == ".jsonl":
            return TextWriter(path, JsonLinesFormat(), warn)
        if ending == ".sqlite":
            return SqliteWriter(path)
        if ending == ".parquet":
            parquet_library(path)
            return DerivedWriter(path, write_parquet, warn)
        return DerivedWriter(path, write_label_studio, warn)
    except OSError as exc:
        raise UsageError(f"{printable(str(path))} cannot be written: {plain(exc)}") from None


def read_records(path: Path, warn: Warn) -> Iterator[Record]:
    """Yield the rows of a results file in their order. Raises UsageError, which names the file and the row."""
    ending = _ending(path)
    if ending == "labelstudio.json":
        raise UsageError(f"{printable(str(path))} holds tasks; the rows are in {printable(path.name)}.rows.jsonl")
    try:
        if not path.is_file():
            raise UsageError(f"{printable(str(path))} is no file")
        if ending == ".csv":
            yield from read_text(path, CsvFormat(), warn)
        elif ending == ".jsonl":
            yield from read_text(path, JsonLinesFormat(), warn)
        elif ending == ".sqlite":
            yield from read_sqlite(path)
        else:
            yield from read_parquet(path)
    except OSError as exc:
        raise UsageError(f"{printable(str(path))} cannot be read: {plain(exc)}") from None


def read_distinct(
    paths: Iterable[Path], warn: Warn, read: Callable[[Path, Warn], Iterator[Record]] = read_records
) -> list[Record]:
    """Return the rows of several files, each request once; see `distinct`. Raises UsageError.

    `read` reads one file. Rows have their best _KEPT predictions only, and no features, so that a million rows fit into
    memory.
    """
    count = 0

    def records() -> Iterator[Record]:
        nonlocal count
        for path in paths:
            for record in read(path, warn):
                count += 1
                few = len(record.predictions) <= _KEPT and not record.features
                yield record if few else replace(record, predictions=record.predictions[:_KEPT], features="")

    kept = distinct(records())
    if len(kept) < count:
        warn(f"{count - len(kept):,} rows repeat a request id and are not counted again")
    return kept


class ResultFiles:
    """Passes outcomes to `view` and writes each to the results files.

    A file that can no longer be written is reported once; the others go on. `failed` is then true.
    """

    def __init__(self, view: View, writers: dict[Path, Writer], messages: Messages) -> None:
        self._view, self._messages = view, messages
        self._writers, self._lost = writers, dict.fromkeys(writers, 0)

    @property
    def failed(self) -> bool:
        """Whether a file lacks rows."""
        return any(self._lost.values())

    def catch_up(self, records: Callable[[], Iterable[Record]]) -> None:
        """Add the records that an earlier command received, to files that lack them. Raises UsageError."""
        for path, writer in self._writers.items():
            try:
                _write_missing(path, writer, records(), self._messages.show)
            except StoreError:
                raise
            except OSError as exc:
                self._lost[path] = 1
                self._messages.show(unwritable(path, exc))

    def add(self, outcome: Outcome) -> None:
        self._view.add(outcome)
        record = Record.of_outcome(outcome)
        for path, writer in self._writers.items():
            if self._lost[path]:  # what was written last may be torn, so nothing may follow it
                self._lost[path] += 1
                continue
            try:
                writer.write(record)
            except OSError as exc:
                self._lost[path] = 1
                self._messages.show(unwritable(path, exc))

    def close(self) -> None:
        self._view.close()
        for path, writer in self._writers.items():
            failure = complete(path, writer)
            if failure and not self._lost[path]:
                self._lost[path] = 1
                self._messages.show(failure)
            elif self._lost[path]:
                self._messages.show(f"{printable(str(path))} lacks {self._lost[path]:,} rows")


def append_missing(paths: Iterable[Path], records: Callable[[], Iterable[Record]], warn: Warn) -> bool:
    """Add to each file those records that it lacks. Returns whether all files were completed. Raises UsageError."""
    writers, failures = open_writers(paths, warn), dict[Path, str]()
    try:
        for path, writer in writers.items():
            try:
                _write_missing(path, writer, records(), warn)
            except StoreError:  # the records cannot be read
                raise
            except OSError as exc:
                failures[path] = unwritable(path, exc)
    finally:
        for path, writer in writers.items():
            if failure := complete(path, writer):
                failures.setdefault(path, failure)
    for failure in failures.values():
        warn(failure)
    return not failures


def _write_missing(path: Path, writer: Writer, records: Iterable[Record], warn: Warn) -> None:
    """Write the records whose request the file lacks, or holds without a response. Raises OSError and UsageError."""
    whole = path if _ending(path) in (".csv", ".jsonl", ".sqlite") else sibling(path)
    known: dict[str, int] = {}
    for row in read_records(whole, warn):
        known[row.request_id] = max(rank(row), known.get(row.request_id, 0))
    for record in records:
        if rank(record) > known.get(record.request_id, -1):
            writer.write(record)


def open_writers(paths: Iterable[Path], warn: Warn) -> dict[Path, Writer]:
    """Open all results files, or none. Raises UsageError."""
    writers: dict[Path, Writer] = {}
    try:
        for path in paths:
            if path.absolute() in {each.absolute() for each in writers}:
                raise UsageError(f"--output names {printable(str(path))} twice")
            writers[path] = open_writer(path, warn)
    except BaseException:
        for writer in writers.values():
            writer.close()
        raise
    return writers


def _ending(path: Path) -> str:
    name = path.name.lower()
    for ending in ENDINGS:
        if name.endswith(ending):
            return ending
    raise UsageError(f"{printable(str(path))} is no results file; its name must end in {', '.join(ENDINGS)}")
