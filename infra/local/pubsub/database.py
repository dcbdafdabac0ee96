"""The file `pubsub.db` of a data folder: resources, messages and their holders. A batch is written in one transaction.

A holder (the backlog of a subscription, or a log) has a number, its `shelf` in the tables; see message_index.py.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path

_FORMAT = 1
_TABLES = """
CREATE TABLE things (kind TEXT, name TEXT, shelf INTEGER, config BLOB, PRIMARY KEY (kind, name));
CREATE TABLE messages (id INTEGER PRIMARY KEY, body BLOB);
CREATE TABLE places (message INTEGER, shelf INTEGER, attempts INTEGER, PRIMARY KEY (message, shelf)) WITHOUT ROWID;
CREATE TRIGGER last_place AFTER DELETE ON places WHEN NOT EXISTS (SELECT 1 FROM places WHERE message = old.message)
BEGIN DELETE FROM messages WHERE id = old.message; END;
CREATE TABLE ids (first INTEGER);
INSERT INTO ids VALUES (0);
"""
_PUT_THING = """INSERT INTO things VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET shelf = excluded.shelf, config = excluded.config"""
# One statement for all rows, because the writing thread waits for the interpreter's lock after each statement.
_ADD_BODIES = """INSERT OR IGNORE INTO messages SELECT json_extract(value, '$[0]'),
substr(?, json_extract(value, '$[1]'), json_extract(value, '$[2]')) FROM json_each(?)"""
_PUT_PLACES = """INSERT OR REPLACE INTO places SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'),
json_extract(value, '$[2]') FROM json_each(?)"""
_DROP_PLACES = """DELETE FROM places WHERE (message, shelf) IN
(SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?))"""
# Ids reserved for a run, more than it can use: the next run's ids are larger even when the clock was set back.
_IDS_OF_A_RUN = 10**12

# Kind and full name of a resource.
ResourceKey = tuple[str, str]

# Number of the resource's message index (0 for none), and its settings.
Row = tuple[int, bytes]

# Id of a message, and number of a message index that contains it.
Place = tuple[int, int]


class Database:
    """The file, locked until this process ends. Any thread may call, one at a time. OSError when it cannot be used.

    `first_id`: ids from here on are unused.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "pubsub.db"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, timeout=0, check_same_thread=False)
            self._prepare()
        except OSError as exc:
            raise OSError(f"the data folder {folder} cannot be created: {exc.strerror}") from exc
        except sqlite3.Error as exc:
            used = getattr(exc, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
            why = "is in use by another server" if used else f"cannot be used: {self.path.name}: {exc}"
            raise OSError(f"the data folder {folder} {why}") from exc

    def _prepare(self) -> None:
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")  # the lock ends with the process, even when it is killed
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")  # commits survive a killed process
        self._db.execute("PRAGMA wal_autocheckpoint = 4000")  # pages: acks usually precede a checkpoint
        (found,) = self._db.execute("PRAGMA user_version").fetchone()
        if not found:
            self._db.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {_FORMAT}; COMMIT;")
        elif found != _FORMAT:
            raise sqlite3.DatabaseError(f"its format is {found}, and this server reads format {_FORMAT}")
        (before,) = self._db.execute("SELECT first FROM ids").fetchone()
        self.first_id = max(time.time_ns() // 1000, before + _IDS_OF_A_RUN if before else 0)
        with self._db:
            self._db.execute("UPDATE ids SET first = ?", (self.first_id,))

    def resources(self) -> dict[ResourceKey, Row]:
        """All resources, in the order in which they were first written."""
        found = self._db.execute("SELECT * FROM things ORDER BY rowid")
        return {(kind, name): (shelf, config) for kind, name, shelf, config in found}

    def messages(self) -> sqlite3.Cursor:
        """Rows of shelf, failed attempts, message id and the serialised message, oldest first."""
        return self._db.execute(
            "SELECT shelf, attempts, id, body FROM places JOIN messages ON id = message ORDER BY message"
        )

    def write(
        self,
        resources: Mapping[ResourceKey, Row | None],
        places: Mapping[Place, int | None],
        bodies: Mapping[int, bytes],
    ) -> None:
        """Write all changes in one transaction. None deletes; `bodies`: new messages by id. Raises sqlite3.Error."""
        put = [(*place, attempts) for place, attempts in places.items() if attempts is not None]
        # Sorted by id. A message that was added and dropped within one batch is not written.
        new = sorted({message for message, _, _ in put} & bodies.keys())
        blobs = [bodies[number] for number in new]
        ends, end = [], 1
        for number, blob in zip(new, blobs, strict=True):
            ends.append((number, end, len(blob)))
            end += len(blob)
        with self._db:
            rows = [(*key, *row) for key, row in resources.items() if row]
            self._db.executemany(_PUT_THING, rows)
            self._db.executemany(
                "DELETE FROM things WHERE kind = ? AND name = ?", [key for key, row in resources.items() if not row]
            )
            self._db.execute(_ADD_BODIES, (b"".join(blobs), json.dumps(ends)))
            self._db.execute(_PUT_PLACES, (json.dumps(put),))
            gone = [place for place, attempts in places.items() if attempts is None]
            self._db.execute(_DROP_PLACES, (json.dumps(gone),))
            if resources:
                self._db.execute("DELETE FROM places WHERE shelf NOT IN (SELECT shelf FROM things)")

    def close(self) -> None:
        """Close the file and release its lock."""
        self._db.close()
