"""The SQLite file of the job store. Several processes, and several threads of each, may use it at the same time."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from client.gcp import UsageError
from client.text import StoreError, printable

T = TypeVar("T")

_VERSION = 1
"""PRAGMA user_version of these files. Another version has other tables."""

_BUSY_S = 30.0
"""Seconds to wait for another process that is writing. Each write takes milliseconds."""

_TABLES = """
CREATE TABLE jobs (
    id TEXT PRIMARY KEY, created_at REAL NOT NULL, definition TEXT NOT NULL, is_listed INTEGER NOT NULL DEFAULT 0,
    is_cancelled INTEGER NOT NULL DEFAULT 0, holder TEXT NOT NULL DEFAULT '', held_until REAL NOT NULL DEFAULT 0
);
CREATE TABLE images (
    job TEXT NOT NULL, number INTEGER NOT NULL, kind TEXT NOT NULL, place TEXT NOT NULL,
    location TEXT NOT NULL, name TEXT NOT NULL, given_id TEXT NOT NULL, key TEXT NOT NULL,
    request_id TEXT NOT NULL DEFAULT '', state TEXT NOT NULL DEFAULT 'waiting',
    problem TEXT NOT NULL DEFAULT '', trace_id TEXT NOT NULL DEFAULT '', sent_at REAL, answered_at REAL,
    rank INTEGER NOT NULL DEFAULT 0,
    error_code TEXT NOT NULL DEFAULT '', record TEXT,
    PRIMARY KEY (job, number)
);
CREATE UNIQUE INDEX images_by_place ON images (job, place, given_id);
CREATE UNIQUE INDEX images_by_key ON images (job, key);
CREATE INDEX images_by_request ON images (job, request_id);
CREATE INDEX images_by_state ON images (job, state, number);
CREATE TABLE early (
    job TEXT NOT NULL, request_id TEXT NOT NULL, rank INTEGER NOT NULL, error_code TEXT NOT NULL, record TEXT NOT NULL,
    answered_at REAL NOT NULL, PRIMARY KEY (job, request_id)
);
"""


class Unopenable(UsageError):
    """The file cannot be opened or created."""


class Database:
    """A connection to the file, which is created where it does not exist; None keeps all in memory.

    `copy_of` is the address that an existing file was downloaded from. Raises UsageError for a file that is no job
    store of this version, and Unopenable.
    """

    def __init__(self, path: Path | None, copy_of: str = "") -> None:
        self.path, self._copy_of = path, copy_of
        try:
            if path:
                path.parent.mkdir(parents=True, exist_ok=True)
            # Autocommit, except in `transaction`.
            self._connection = sqlite3.connect(
                path or ":memory:", timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as exc:
            raise Unopenable(f"the job store {self._shown()} cannot be opened: {_reason(exc)}") from None
        self._lock = threading.RLock()
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection; what the block writes is kept whole or not at all. Raises StoreError."""
        with self._lock:
            try:
                try:
                    self._connection.execute("BEGIN IMMEDIATE")
                    yield self._connection
                    self._connection.execute("COMMIT")
                except BaseException:
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                    raise
            except sqlite3.Error as exc:
                raise StoreError(f"the job store {self._shown()} cannot be written: {_reason(exc)}") from exc

    def rows(self, query: str, *values: object) -> list[Any]:
        """Return the rows of a query. Raises StoreError."""
        with self._lock:
            try:
                return self._connection.execute(query, values).fetchall()
            except (sqlite3.Error, UnicodeError) as exc:
                raise StoreError(f"the job store {self._shown()} cannot be read: {_reason(exc)}") from exc

    def made(self, make: Callable[..., T], *values: object) -> T:
        """Return what `make` makes of stored values. Raises StoreError where they are damaged."""
        try:
            return make(*values)
        except (ValueError, TypeError, KeyError, IndexError) as exc:
            raise StoreError(f"the job store {self._shown()} is damaged: {_reason(exc)}") from exc

    @property
    def changes(self) -> int:
        """The number of rows that this connection has changed."""
        with self._lock:
            return self._connection.total_changes

    def copy(self, path: Path) -> None:
        """Write a copy to a new file, while others read and write. Raises StoreError."""
        assert self.path
        try:
            with closing(sqlite3.connect(self.path, _BUSY_S)) as source, closing(sqlite3.connect(path)) as target:
                source.backup(target)
        except sqlite3.Error as exc:
            raise StoreError(f"the job store {self._shown()} cannot be copied to {path}: {_reason(exc)}") from exc

    def load(self, path: Path) -> None:
        """Replace everything by what another file holds. Raises StoreError."""
        with self._lock:
            try:
                with closing(sqlite3.connect(path)) as source:
                    source.backup(self._connection)
            except sqlite3.Error as exc:
                raise StoreError(f"the job store {self._shown()} cannot be read: {_reason(exc)}") from exc

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _prepare(self) -> None:
        try:
            # Readers do not wait for a writer. A killed process loses nothing; a power failure may lose the last rows.
            self._set_wal_mode()
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute("BEGIN IMMEDIATE")
            if not self._copy_of and not self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                for statement in _TABLES.split(";\n"):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version={_VERSION}")
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
            names = {row[0] for row in self._connection.execute("SELECT name FROM sqlite_master")}
            self._connection.execute("COMMIT")
        except sqlite3.OperationalError as exc:
            raise Unopenable(f"the job store {self._shown()} cannot be opened: {_reason(exc)}") from None
        except sqlite3.Error as exc:  # it is no SQLite file
            raise UsageError(
                f"the job store {self._shown()} cannot be used: {_reason(exc)}; name another file with --state"
            ) from None
        if version != _VERSION or not {"jobs", "images", "early"} <= names:
            raise UsageError(
                f"{self._shown()} is no job store of version {_VERSION} (its version is {version}); "
                "name another file with --state"
            )

    def _set_wal_mode(self) -> None:
        """Retry for _BUSY_S: SQLite does not wait while another process changes the mode of the same new file."""
        deadline = time.monotonic() + _BUSY_S
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as exc:
                if exc.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                    raise
            time.sleep(0.01)

    def _shown(self) -> str:
        return printable(self._copy_of or str(self.path)) if self.path else "in memory"


def _reason(exc: Exception) -> str:
    text = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
    return printable(text)[:120]
