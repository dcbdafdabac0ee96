"""Reads lists of images: text with a path or an address on each line, CSV, and results files."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from client.gcp import UsageError
from client.results.record import COLUMNS, Record
from client.results.result_files import read_records
from client.sources.csv_lists import first_row, read_header, read_rows
from client.sources.entry import Entry
from client.sources.selection import STDIN, Selection
from client.text import plain, printable
from client.text_map import TextMap
from functions.errors import InvalidRequest
from functions.messages.request_decoder import check_length
from model.text import quoted, shortened, whole

FILE = "file"
"""The column of a CSV list with the paths, unless --column names another one; results files have it."""

_MAX_NAME = 80
"""Characters of a list's name in messages, the last ones."""

_BINARY_RESULTS = (".jsonl", ".sqlite", ".parquet")
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, slots=True)
class ImageList:
    """One list. `entries` yields its entries each time that it is called, and raises UsageError for a wrong row.

    `warnings`: sentences about rows that cannot be read.
    """

    entries: Callable[[], Iterator[Entry]]
    warnings: list[str] = field(default_factory=list)


def read_lists(selection: Selection) -> list[ImageList]:
    """Read the lists of a selection, and check every row and all request ids. Raises UsageError.

    The text of lists stays in memory, and of a results file about 300 bytes a row; the ids are noted in a temporary
    file (see TextMap). Each list counts once, also where it is named twice.
    """
    lists = [_read_list(name, selection) for name in dict.fromkeys(selection.lists)]
    with TextMap() as places:
        for entry in (entry for each in lists for entry in each.entries()):
            if selection.id_column:
                _check_id(entry)
                if not places.add(entry.request_id, entry.place):
                    raise UsageError(
                        f"{places[entry.request_id]} and {entry.place} have the request id "
                        f"{quoted(entry.request_id)}; each must have its own"
                    )
    return lists


def _read_list(path: str, selection: Selection) -> ImageList:
    name, ending = _shown(path), Path(path).suffix.lower()
    column, id_column = selection.column, selection.id_column
    data = b"" if ending in _BINARY_RESULTS else _read(path)
    if ending in _BINARY_RESULTS or (ending == ".csv" and set(COLUMNS) <= set(first_row(name, data))):
        _check_columns(name, column or FILE, id_column, COLUMNS)
        warnings: list[str] = []
        records = read_records(Path(path), warnings.append)
        rows = list(_of_results(name, records, column or FILE, id_column))
        return ImageList(lambda: iter(rows), warnings)
    if column or id_column or ending == ".csv":
        return ImageList(partial(_of_csv, name, data, column or FILE, id_column))
    return ImageList(partial(_of_text, name, data))


def _of_results(name: str, records: Iterable[Record], column: str, id_column: str) -> Iterator[Entry]:
    for number, record in enumerate(records, 1):
        row = record.to_row()
        yield Entry(f"{name} row {number}", str(row[column]), str(row[id_column]) if id_column else "")


def _of_csv(name: str, data: bytes, column: str, id_column: str) -> Iterator[Entry]:
    header, delimiter = read_header(name, data, {column, id_column} - {""})
    _check_columns(name, column, id_column, header)
    at, id_at = header.index(column), header.index(id_column) if id_column else None
    for line, cells in read_rows(name, data, delimiter):
        yield Entry(f"{name} line {line}", cells[at], "" if id_at is None else cells[id_at])


def _of_text(name: str, data: bytes) -> Iterator[Entry]:
    nul = b"\0" in data
    for number, raw in enumerate(_split(data, b"\0" if nul else b"\n"), 1):
        text = os.fsdecode(raw if nul else raw.removesuffix(b"\r"))
        if text.strip() or os.path.lexists(text):
            yield Entry(f"{name} {'entry' if nul else 'line'} {number}", text)


def _check_columns(name: str, column: str, id_column: str, there: Sequence[str]) -> None:
    for option, wanted in (("--column", column), ("--id-column", id_column)):
        if wanted and there.count(wanted) != 1:
            many = "two columns" if wanted in there else "no column"
            raise UsageError(
                shortened(f"{name} has {many} {wanted!r}; {option} must name one of: {', '.join(dict.fromkeys(there))}")
            )


def _check_id(entry: Entry) -> None:
    wrong = ""
    if not entry.request_id:
        wrong = "is empty"
    elif whole(entry.request_id) != entry.request_id:
        wrong = f"is {quoted(entry.request_id)}, which is not UTF-8"
    if wrong:
        raise UsageError(f"{entry.place}: the request id {wrong}")
    try:
        check_length("request_id", entry.request_id)
    except InvalidRequest as exc:
        raise UsageError(f"{entry.place}: {exc}: {quoted(entry.request_id)}") from None


def _shown(name: str) -> str:
    """Return a list's name so that two places in lists and an id fit into a message: at most _MAX_NAME characters."""
    name = printable(name)
    return name if len(name) <= _MAX_NAME else f"…{name[1 - _MAX_NAME :]}"


def _read(name: str) -> bytes:
    if name == STDIN and sys.stdin is None:
        raise UsageError("--from - reads stdin, which is closed")
    try:
        data = sys.stdin.buffer.read() if name == STDIN else Path(name).read_bytes()
    except OSError as exc:
        raise UsageError(f"--from {_shown(name)} cannot be read: {plain(exc)}") from None
    if data.startswith(_UTF16):
        raise UsageError(f"--from {_shown(name)} is UTF-16 text; save it as UTF-8")
    return data.removeprefix(codecs.BOM_UTF8)


def _split(data: bytes, separator: bytes) -> Iterator[bytes]:
    """Yield the parts of `data` without a list of all."""
    start = 0
    while start < len(data):
        end = data.find(separator, start)
        end = len(data) if end < 0 else end
        yield data[start:end]
        start = end + 1
