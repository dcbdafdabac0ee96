"""Results files in Parquet, which only pyarrow reads and writes. They are written whole; see derived_files.py."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from client.gcp import UsageError
from client.results.record import COLUMNS, NUMBERS, WHOLE_NUMBERS, Record, check_columns, from_row, to_cells
from client.text import printable

log = logging.getLogger(__name__)

_ROWS_WRITTEN, _ROWS_READ = 10_000, 1_000
"""Rows that are in memory at a time: a row group, and a batch."""


def parquet_library(path: Path) -> tuple[Any, Any]:
    """Import pyarrow and pyarrow.parquet. Raises UsageError."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise UsageError(
            f"{printable(str(path))}: .parquet needs pyarrow, which is not installed: pip install pyarrow, "
            "or use .csv, .jsonl or .sqlite"
        ) from None
    return pyarrow, parquet


def write_parquet(path: Path, records: Iterable[Record]) -> None:
    """Write all rows in the order in which they came, with checksums. Raises OSError and UsageError."""
    pyarrow, parquet = parquet_library(path)
    kinds = dict.fromkeys(NUMBERS, pyarrow.float64()) | dict.fromkeys(WHOLE_NUMBERS, pyarrow.int64())
    schema = pyarrow.schema([(name, kinds.get(name, pyarrow.string())) for name in COLUMNS])
    cells = map(to_cells, records)
    with parquet.ParquetWriter(path, schema, write_page_checksum=True) as writer:
        while rows := list(islice(cells, _ROWS_WRITTEN)):
            writer.write_table(pyarrow.Table.from_pylist(rows, schema))


def read_parquet(path: Path) -> Iterator[Record]:
    """Yield the rows of a Parquet file. Raises OSError, and UsageError, which names the row."""
    for number, row in enumerate(_rows(path), 1):
        try:
            yield from_row(row)
        except ValueError as exc:
            raise UsageError(f"{printable(str(path))} row {number}: {printable(str(exc))[:150]}") from None


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    pyarrow, parquet = parquet_library(path)
    try:
        with parquet.ParquetFile(path, page_checksum_verification=True) as file:
            try:
                check_columns(file.schema_arrow.names)
            except ValueError as exc:
                raise UsageError(f"{printable(str(path))}: {exc}") from None
            left = file.metadata.num_rows
            for batch in file.iter_batches(_ROWS_READ, columns=list(COLUMNS)):
                left -= batch.num_rows
                yield from batch.to_pylist()
            if left:  # pyarrow reads some damaged pages as empty ones
                raise pyarrow.ArrowInvalid(f"{left} rows are missing")
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as exc:
        if isinstance(exc, OSError) and exc.strerror:  # the system's error, and not pyarrow's about the content
            raise
        log.debug("%s", path, exc_info=exc)
        raise UsageError(f"{printable(str(path))} is no Parquet file, or is damaged") from None
