"""The server's storage: resources and small bodies in SQLite, and one file for each large body."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import mmap
import os
import shutil
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

import google_crc32c

LIVE, OLD, DELETED = 1, 0, -1
_MIB = 1 << 20
_SMALL = 1 << 18  # bytes up to which the database is faster than a file
_TABLE = """CREATE TABLE IF NOT EXISTS resources (
    kind TEXT, parent TEXT, name TEXT, generation INTEGER, state INTEGER, body TEXT, data TEXT,
    PRIMARY KEY (kind, parent, name, generation)) WITHOUT ROWID"""
_BODIES = "CREATE TABLE IF NOT EXISTS bodies (name TEXT PRIMARY KEY, content BLOB)"

# Resources of a kind and a parent.
_ROWS = "SELECT kind, parent, name, data, generation, state, body FROM resources WHERE kind = ? AND parent = ?"

# Deletes unfinished uploads after a week, as in the cloud, and soft-deleted resources after their time.
_EXPIRE = """DELETE FROM resources WHERE kind IN ('upload', 'part') AND generation < ?
    OR state = -1 AND json_extract(data, '$.hardDeleteTime') < strftime('%Y-%m-%dT%H:%M:%S')"""
_WEEK_US = 7 * 86_400 * 1_000_000


@dataclass(slots=True)
class Row:
    """A resource: a bucket, a generation of an object, an unfinished upload, a notification, or a key.

    `parent`: the bucket of an object. `state`: LIVE, OLD (archived) or DELETED (soft-deleted). `body`: the name of its
    bytes. `data`: its JSON, without the values of the other fields.
    """

    kind: str
    parent: str
    name: str
    data: dict[str, Any]
    generation: int = 0
    state: int = LIVE
    body: str = ""

    @property
    def etag(self) -> str:
        """The etag, which changes with the generation and the metageneration."""
        return base64.b64encode(f"{self.generation}/{self.data.get('metageneration', '')}".encode()).decode()


@dataclass(frozen=True, slots=True)
class Event:
    """An event of an object, with the object's row at that time; `extra`: further attributes."""

    type: str
    row: Row
    extra: Mapping[str, str]


class _ThreadState(threading.local):
    """A thread's object events, and the bodies that its next change keeps (None for a body in a file)."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.saved: dict[str, bytes | None] = {}


class Store:
    """Resources and bodies in a folder, by default a temporary one. All access is inside `change`, from any thread.

    A completed `change` survives a kill of the process. Raises OSError when the folder cannot be used.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._temporary = None if folder else TemporaryDirectory(prefix="storage-")
        self._folder = folder or Path(self._temporary.name if self._temporary else "")
        self.bodies = self._folder / "bodies"
        self.bodies.mkdir(parents=True, exist_ok=True)
        self._lock, self._mine, self._gone = threading.RLock(), _ThreadState(), list[str]()
        try:
            self._db = sqlite3.connect(
                self._folder / "storage.db", timeout=0.5, isolation_level=None, check_same_thread=False
            )
            # Exclusive, because two servers must not share a folder.
            for line in ("PRAGMA locking_mode=EXCLUSIVE", "PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL"):
                self._db.execute(line)
            self._db.execute(_TABLE)
            self._db.execute(_BODIES)
        except sqlite3.Error as exc:
            raise OSError(f"the data folder {self._folder} cannot be used, perhaps by two servers: {exc}") from exc
        self._last: int = self._db.execute("SELECT coalesce(max(generation), 0) FROM resources").fetchone()[0]
        self._db.execute(_EXPIRE, (time.time_ns() // 1000 - _WEEK_US,))
        self._db.execute("DELETE FROM bodies WHERE name NOT IN (SELECT body FROM resources)")
        known = {body for (body,) in self._db.execute("SELECT body FROM resources")}
        for each in self.bodies.iterdir():  # left by a killed server
            if each.name not in known:
                each.unlink()

    def close(self) -> None:
        """Close the database, and delete a temporary folder."""
        with self._lock:
            self._db.close()
            if self._temporary:
                self._temporary.cleanup()

    @contextmanager
    def change(self) -> Iterator[None]:
        """One change at a time: all of the block is stored, or with an exception nothing."""
        with self._lock:
            if self._db.in_transaction:
                yield
                return
            mine = self._mine
            before, self._gone = len(mine.events), []
            self._db.execute("BEGIN")
            try:
                yield
                small = [(name, content) for name, content in mine.saved.items() if content is not None]
                self._db.executemany("INSERT INTO bodies VALUES (?, ?)", small)
                for body in self._gone:
                    self._db.execute("DELETE FROM bodies WHERE name = ?", (body,))
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                del mine.events[before:]
                self._gone = list(mine.saved)
                raise
            finally:
                mine.saved = {}
                for body in self._gone:
                    (self.bodies / body).unlink(missing_ok=True)

    def take_events(self) -> list[Event]:
        """The events of this thread's changes since the last call."""
        events, self._mine.events = self._mine.events, []
        return events

    def note(self, kind: str, row: Row, **extra: str) -> None:
        """Record an event of an object."""
        self._mine.events.append(Event(kind, replace(row, data=dict(row.data)), extra))

    def generation(self) -> int:
        """A unique, increasing number: the time in microseconds."""
        self._last = max(time.time_ns() // 1000, self._last + 1)
        return self._last

    def get(self, kind: str, parent: str, name: str, generation: int = 0, *, state: int | None = None) -> Row | None:
        """A resource: live, of a generation, or in another state; None when there is none."""
        states = [state] if state is not None else [OLD, LIVE] if generation else [LIVE]
        if generation:
            return next(
                self.rows(kind, parent, "AND name = ? AND generation = ?", name, generation, states=states), None
            )
        return next(self.rows(kind, parent, "AND name = ?", name, states=states), None)

    def rows(
        self, kind: str, parent: str, where: str = "", *values: Any, states: Iterable[int] = (LIVE,)
    ) -> Iterator[Row]:
        """Yield resources of a parent that match the SQL in `where`, ordered by name (bytes in UTF-8)."""
        wanted = f"AND state IN ({','.join(map(str, states))}) {where} ORDER BY name, generation"
        found = self._db.execute(f"{_ROWS} {wanted}", (kind, parent, *values))
        for kind, parent, name, data, *rest in found:
            yield Row(kind, parent, name, json.loads(data), *rest)

    def put(self, row: Row) -> Row:
        """Insert or update a resource."""
        values = (row.kind, row.parent, row.name, row.generation, row.state, row.body, json.dumps(row.data))
        self._db.execute("INSERT OR REPLACE INTO resources VALUES (?, ?, ?, ?, ?, ?, ?)", values)
        return row

    def delete(self, row: Row) -> None:
        """Delete a resource and its bytes."""
        self._db.execute(
            "DELETE FROM resources WHERE kind = ? AND parent = ? AND name = ? AND generation = ?",
            (row.kind, row.parent, row.name, row.generation),
        )
        if row.body:
            self._gone.append(row.body)

    def save(self, content: bytes | memoryview, spool: Path | None = None, *, grows: bool = False) -> str:
        """Store bytes, or the file `spool`, and return the body's name. The thread's next change keeps it."""
        body, small = uuid.uuid4().hex, len(content) <= _SMALL and not spool and not grows
        self._mine.saved[body] = bytes(content) if small else None
        if spool:
            os.link(spool, self.bodies / body)
        elif not small:
            with (self.bodies / body).open("wb") as file:
                _write(file, memoryview(content))
        return body

    def append(self, body: str, content: memoryview) -> None:
        """Append to a body that was saved with `grows`."""
        with (self.bodies / body).open("ab") as file:
            _write(file, content)

    def size(self, body: str) -> int:
        """Bytes of a body that was saved with `grows`."""
        return (self.bodies / body).stat().st_size if body else 0

    def join(self, bodies: Iterable[str]) -> str:
        """Concatenate bodies into a new one. A single file becomes a hard link."""
        sources = list(bodies)
        if len(sources) == 1:
            path = self.bodies / sources[0]
            return self.save(b"", path) if path.exists() else self.save(self.open(sources[0]).read())
        body = self.save(b"", grows=True)
        with (self.bodies / body).open("ab") as whole:
            for source in sources:
                with self.open(source) as part:
                    shutil.copyfileobj(part, whole, _MIB)
        return body

    def open(self, body: str) -> BinaryIO:
        """Open a body for reading, which continues even after the object is deleted."""
        small = self._mine.saved.get(body)
        if small is None and not (self.bodies / body).exists():
            (small,) = self._db.execute("SELECT content FROM bodies WHERE name = ?", (body,)).fetchone()
        return (self.bodies / body).open("rb") if small is None else io.BytesIO(small)

    def measure(self, body: str) -> dict[str, str]:
        """`size`, `md5Hash` and `crc32c` of a body, in the format of a resource."""
        md5, crc, size = hashlib.md5(usedforsecurity=False), 0, 0
        with self.open(body) as file:
            while chunk := file.read(_MIB):
                md5.update(chunk)
                crc = google_crc32c.extend(crc, chunk)
                size += len(chunk)
        hashes = {"md5Hash": md5.digest(), "crc32c": crc.to_bytes(4, "big")}
        return {"size": str(size), **{name: base64.b64encode(each).decode() for name, each in hashes.items()}}


def _write(file: BinaryIO, content: memoryview) -> None:
    """Write bytes in pieces. The pages of a mapped file leave the memory after each, or a large one would fill it."""
    for start in range(0, len(content), _MIB):
        file.write(content[start : start + _MIB])
        if isinstance(content.obj, mmap.mmap):
            content.obj.madvise(mmap.MADV_DONTNEED)
