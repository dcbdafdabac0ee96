"""Results files as text: CSV and JSON lines. Each row is written and flushed whole, so that a kill tears at most one.

CSV cells that a spreadsheet would calculate (they begin with = + - @, a tab or a line break) get an apostrophe before
them, and so does a cell that begins with an apostrophe. The reader removes it, so that nothing changes.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from client.gcp import UsageError
from client.results.file_lock import lock
from client.results.record import COLUMNS, NUMBERS, WHOLE_NUMBERS, Record, check_columns, from_row, to_cells
from client.text import plain, printable

Warn = Callable[[str], None]

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "'")
_TEXTS = frozenset(COLUMNS) - {*NUMBERS, *WHOLE_NUMBERS}
_MAX_TORN = 2_000_000
"""Bytes of an incomplete row that is dropped: twice the largest response."""

_BOM = b"\xef\xbb\xbf"


class Format(Protocol):
    """How one kind of text file holds rows."""

    def heading(self) -> bytes:
        """Return the first line of a new file."""
        ...

    def start(self) -> bytes:
        """Return the bytes with which every file begins."""
        ...

    def encode(self, record: Record) -> bytes:
        """Return a row with its line end."""
        ...

    def chunks(self, file: BinaryIO) -> Iterator[bytes]:
        """Yield each row that is complete, as bytes; the heading too."""
        ...

    def decode(self, chunk: bytes) -> Any:
        """Return a row by column, or a list of column names. Raises ValueError."""
        ...


class CsvFormat:
    """CSV as in RFC 4180, in UTF-8, with a heading."""

    def heading(self) -> bytes:
        return _csv_line(COLUMNS)

    def start(self) -> bytes:
        return self.heading()

    def encode(self, record: Record) -> bytes:
        cells = to_cells(record)
        return _csv_line([_escaped(cells[name]) if name in _TEXTS else cells[name] for name in COLUMNS])

    def chunks(self, file: BinaryIO) -> Iterator[bytes]:
        lines: list[bytes] = []
        quoted = False
        for line in file:
            lines.append(line)
            quoted ^= line.count(b'"') % 2 == 1  # a line break inside quotes belongs to its cell
            if line.endswith(b"\n") and not quoted:
                yield b"".join(lines)
                lines.clear()

    def decode(self, chunk: bytes) -> list[str]:
        [cells] = csv.reader(io.StringIO(chunk.decode("utf-8"), newline=""), strict=True)
        return cells


class JsonLinesFormat:
    """One JSON object in ASCII for each row."""

    def heading(self) -> bytes:
        return b""

    def start(self) -> bytes:
        return f'{{"{COLUMNS[0]}":'.encode()

    def encode(self, record: Record) -> bytes:
        return (json.dumps(record.to_row(), separators=(",", ":")) + "\n").encode("ascii")

    def chunks(self, file: BinaryIO) -> Iterator[bytes]:
        return (line for line in file if line.endswith(b"\n"))

    def decode(self, chunk: bytes) -> Any:
        return json.loads(chunk)


class TextWriter:
    """Appends rows to a text file and locks it. Creates it, or drops an incomplete last row.

    Raises OSError, and UsageError for a file that another command writes or that this program did not write.
    """

    def __init__(self, path: Path, form: Format, warn: Warn) -> None:
        self._form = form
        self._file: BinaryIO = path.open("ab")
        try:
            lock(self._file, path, warn)
            self._repair(path, warn)
            if not os.fstat(self._file.fileno()).st_size:
                self._file.write(form.heading())
                self._file.flush()
        except BaseException:
            self._file.close()
            raise

    def write(self, record: Record) -> None:
        """Write one row. Raises OSError, after which no row may follow."""
        self._file.write(self._form.encode(record))
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _repair(self, path: Path, warn: Warn) -> None:
        """Drop an incomplete last row. Raises UsageError for a file that this program did not write."""
        complete, first = 0, b""
        with path.open("rb") as file:
            for chunk in self._form.chunks(file):
                first = first or chunk
                complete += len(chunk)
            size = file.seek(0, io.SEEK_END)
            file.seek(complete)
            torn, start = file.read(len(self._form.start())), self._form.start()
        if first:
            _check_first(path, self._form, first)
        begun = bool(complete) or start.startswith(torn) or torn.startswith(start)
        if not begun or size - complete > _MAX_TORN:
            raise UsageError(f"{printable(str(path))} is no results file, or is damaged; choose another name")
        if complete < size:
            self._file.truncate(complete)
            warn(f"{printable(str(path))}: the last row was incomplete and was dropped")


def read_text(path: Path, form: Format, warn: Warn) -> Iterator[Record]:
    """Yield the rows of a text file; an incomplete last row is left out with a warning. Raises UsageError."""
    with path.open("rb") as file:
        columns: list[str] | None = None
        read = 0
        for number, chunk in enumerate(form.chunks(file), 1):
            read += len(chunk)
            try:
                row = form.decode(chunk.removeprefix(_BOM) if number == 1 else chunk)
                if isinstance(row, list) and isinstance(form, CsvFormat):
                    if columns is None:
                        columns = row
                        check_columns(columns)
                        continue
                    row = _by_column(columns, row)
                if not isinstance(row, dict):
                    raise ValueError("it is no JSON object")
                record = from_row(row)
            except (ValueError, csv.Error, RecursionError) as exc:
                raise UsageError(f"{printable(str(path))} row {number}: {_reason(exc)}") from None
            yield record
        if read < file.seek(0, io.SEEK_END):
            warn(f"{printable(str(path))}: the last row is incomplete and was left out")


def _check_first(path: Path, form: Format, chunk: bytes) -> None:
    """Refuse to append to a file with other columns."""
    try:
        row = form.decode(chunk.removeprefix(_BOM))
        names = list(row) if isinstance(row, list | dict) else []
    except (ValueError, csv.Error, RecursionError):
        names = []
    if names != list(COLUMNS):
        raise UsageError(f"{printable(str(path))} has other columns than a results file; choose another name")


def _by_column(columns: list[str], cells: list[str]) -> dict[str, str]:
    if len(cells) != len(columns):
        raise ValueError(f"it has {len(cells)} cells; the heading has {len(columns)}")
    pairs = zip(columns, cells, strict=True)
    return {name: _unescaped(cell) if name in _TEXTS else cell for name, cell in pairs}


def _reason(exc: Exception) -> str:
    if isinstance(exc, UnicodeDecodeError):
        return "it is not UTF-8"
    if isinstance(exc, json.JSONDecodeError | RecursionError):
        return "it is not JSON"
    return printable(str(exc))[:200] if isinstance(exc, ValueError) else plain(exc)


def _csv_line(cells: Any) -> bytes:
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue().encode("utf-8")


def _escaped(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def _unescaped(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell
