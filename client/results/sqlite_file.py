"""Results files in SQLite: one table `results`, in the order in which the rows came. Each row is a transaction.

Several commands may write and read a file at the same time: each waits until the transaction of another one ends, and
none lasts long.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from client.gcp import UsageError
from client.results.record import COLUMNS, NUMBERS, WHOLE_NUMBERS, Record, from_row, to_cells
from client.text import printable

_VERSION = 2
"""PRAGMA user_version of these files. Another version has other columns."""

_TYPES = dict.fromkeys(NUMBERS, "REAL") | dict.fromkeys(WHOLE_NUMBERS, "INTEGER")
_DECLARED = ", ".join(f"{name} {_TYPES.get(name, 'TEXT')}" for name in COLUMNS)
_CREATE = f"CREATE TABLE results ({_DECLARED})"
_INSERT = f"INSERT INTO results VALUES ({', '.join(f':{name}' for name in COLUMNS)})"  # nosec B608  # our own columns
_SELECT = f"SELECT rowid, {', '.join(COLUMNS)} FROM results WHERE rowid > ? ORDER BY rowid LIMIT ?"  # nosec B608  # the same

_MAX_READ = 1000
"""Rows that are read in one transaction. A command that writes waits until it ends."""

_BUSY_TIMEOUT_S = 30.0
"""Seconds to wait for the transaction of another command, which takes milliseconds unless its process is suspended."""


class SqliteWriter:
    """Appends rows to an SQLite file and creates it. Raises OSError and UsageError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            # Autocommit. Rows come from one thread at a time, but not always from the one that opened the file.
            self._database = sqlite3.connect(path, _BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
            try:
                self._prepare()
            except BaseException:
                self._database.close()
                raise
        except sqlite3.Error as exc:
            raise _error(path, exc) from None

    def write(self, record: Record) -> None:
        """Write one row. Raises OSError."""
        try:
            self._database.execute(_INSERT, to_cells(record))
        except sqlite3.Error as exc:
            raise OSError(None, str(exc)) from None

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _prepare(self) -> None:
        # The journal survives a killed process; only a power failure may lose the last rows.
        self._database.execute("PRAGMA synchronous=OFF")
        self._database.execute("BEGIN IMMEDIATE")  # before the look, so that no other command creates the table too
        if self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            _check(self._path, self._database)
        else:
            self._database.execute(_CREATE)
            self._database.execute(f"PRAGMA user_version={_VERSION}")
        self._database.execute("COMMIT")


def read_sqlite(path: Path) -> Iterator[Record]:
    """Yield the rows of an SQLite file. Raises UsageError."""
    try:
        # Not immutable: after a kill, SQLite must roll the torn transaction back.
        with closing(sqlite3.connect(path, _BUSY_TIMEOUT_S)) as database:
            database.execute("PRAGMA query_only=ON")
            _check(path, database)
            for number, cells in enumerate(_rows(database), 1):
                try:
                    yield from_row(dict(zip(COLUMNS, cells, strict=True)))
                except ValueError as exc:
                    raise UsageError(f"{printable(str(path))} row {number}: {printable(str(exc))[:200]}") from None
    except sqlite3.Error as exc:
        raise _error(path, exc) from None


def _rows(database: sqlite3.Connection) -> Iterator[list[Any]]:
    """Yield the cells of each row. No transaction stays open while the caller handles a row."""
    last = 0
    while found := database.execute(_SELECT, (last, _MAX_READ)).fetchall():
        last = found[-1][0]
        yield from (cells for _, *cells in found)


def _check(path: Path, database: sqlite3.Connection) -> None:
    version = database.execute("PRAGMA user_version").fetchone()[0]
    names = [row[1] for row in database.execute("PRAGMA table_info(results)")]
    if version != _VERSION or names != list(COLUMNS):
        raise UsageError(
            f"{printable(str(path))} is no results file of version {_VERSION} (its version is {version}); "
            "choose another name"
        )


def _error(path: Path, exc: sqlite3.Error) -> UsageError:
    return UsageError(f"{printable(str(path))} cannot be used as an SQLite file: {printable(str(exc))[:150]}")
