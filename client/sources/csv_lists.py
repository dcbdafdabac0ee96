"""Reads lists in CSV (RFC 4180) with a header, separated by commas, semicolons or tabs."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Collection, Iterator
from typing import TextIO

from client.gcp import UsageError
from model.text import quoted, shortened

_DELIMITERS = (",", ";", "\t")


def first_row(name: str, data: bytes, delimiter: str = ",") -> list[str]:
    """Return the cells of the first row that is not blank. Raises UsageError."""
    try:
        return next(filter(None, csv.reader(_opened(data), delimiter=delimiter)), [])
    except csv.Error as exc:
        raise UsageError(shortened(f"{name} has no header of a CSV: {exc}")) from None


def read_header(name: str, data: bytes, needed: Collection[str] = ()) -> tuple[list[str], str]:
    """Return the columns of a CSV and its delimiter. Raises UsageError when the delimiter is unclear.

    The delimiter is the only one with which all columns in `needed` are there, else the only one that separates the
    header. The header of a single column is not separated.
    """
    headers = {delimiter: first_row(name, data, delimiter) for delimiter in _DELIMITERS}
    fitting = [delimiter for delimiter, header in headers.items() if needed and set(needed) <= set(header)]
    separating = [delimiter for delimiter, header in headers.items() if len(header) > 1]
    wide = [delimiter for delimiter in fitting if delimiter in separating]
    for candidates in (wide, fitting, separating):
        if len(candidates) == 1:
            return headers[candidates[0]], candidates[0]
    if wide or separating:
        raise UsageError(
            f"{name}: commas, semicolons or tabs may separate the header "
            f"{quoted(','.join(headers[',']))}; name a column of it with --column"
        )
    return headers[","], ","


def read_rows(name: str, data: bytes, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line and the cells of each row after the header. Raises UsageError, which names the line."""
    rows = csv.reader(_opened(data), delimiter=delimiter, strict=True)
    columns = 0
    while True:
        line = rows.line_num + 1
        try:
            cells = next(rows, None)
        except csv.Error as exc:
            raise UsageError(shortened(f"{name} line {line} is no row of a CSV: {exc}")) from None
        if cells is None:
            return
        if not columns:
            columns = len(cells)
        elif cells and len(cells) != columns:
            raise UsageError(shortened(f"{name} line {line} has {len(cells)} cells; the header has {columns}"))
        elif cells:
            yield line, cells


def _opened(data: bytes) -> TextIO:
    """Return the text of a file. Bytes that are not UTF-8 are taken as the file system takes them."""
    encoding, errors = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
    return io.TextIOWrapper(io.BytesIO(data), encoding, errors, newline="")
