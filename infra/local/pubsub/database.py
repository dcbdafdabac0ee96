"""The file `pubsub.db` of a data folder: things, messages and where they are, changed by one transaction a batch."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
# One statement for all rows: the thread that writes waits for the interpreter after each.
_ADD_BODIES = """INSERT OR IGNORE INTO messages SELECT json_extract(value, '$[0]'),
substr(?, json_extract(value, '$[1]'), json_extract(value, '$[2]')) FROM json_each(?)"""
_PUT_PLACES = """INSERT OR REPLACE INTO places SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'),
json_extract(value, '$[2]') FROM json_each(?)"""
_DROP_PLACES = """DELETE FROM places WHERE (message, shelf) IN
(SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?))"""
_IDS_OF_A_RUN = 10**12
"""More than one run can give: the next begins so much later even where the clock was set back."""

Thing = tuple[str, str]
"""Kind and full name."""

Row = tuple[int, bytes]
"""The shelf of a thing, 0 for none, and its settings."""

Place = tuple[int, int]
"""The id of a message and the shelf that it is on."""


class Database:
    """The file, locked while this process lives; OSError when it cannot be used. Any thread may call, one at a time.

    `first_id`: ids from here on were never given.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "pubsub.db"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, timeout=0, check_same_thread=False)
            self._prepare()
        except OSError as exc:
            raise OSError(f"the data folder {folder} cannot be made: {exc.strerror}") from exc
        except sqlite3.Error as exc:
            used = getattr(exc, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
            why = "is in use by another server" if used else f"cannot be used: {self.path.name}: {exc}"
            raise OSError(f"the data folder {folder} {why}") from exc

    def _prepare(self) -> None:
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")  # the lock goes with the process, however it ends
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")  # survives the process at once, the machine a moment later
        self._db.execute("PRAGMA wal_autocheckpoint = 4000")  # pages: what is soon acked is rarely copied twice
        (found,) = self._db.execute("PRAGMA user_version").fetchone()
        if not found:
            self._db.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {_FORMAT}; COMMIT;")
        elif found != _FORMAT:
            raise sqlite3.DatabaseError(f"it has format {found}, and this server reads format {_FORMAT}")
        (before,) = self._db.execute("SELECT first FROM ids").fetchone()
        self.first_id = max(time.time_ns() // 1000, before + _IDS_OF_A_RUN if before else 0)
        with self._db:
            self._db.execute("UPDATE ids SET first = ?", (self.first_id,))

    def things(self) -> dict[Thing, Row]:
        """All there is, in the order in which it was first written."""
        found = self._db.execute("SELECT * FROM things ORDER BY rowid")
        return {(kind, name): (shelf, config) for kind, name, shelf, config in found}

    def messages(self) -> sqlite3.Cursor:
        """Rows of shelf, failed attempts and the message's bytes, the oldest first."""
        return self._db.execute(
            "SELECT shelf, attempts, body FROM places JOIN messages ON id = message ORDER BY message"
        )

    def write(
        self, things: Mapping[Thing, Row | None], places: Mapping[Place, int | None], bodies: Mapping[int, Any]
    ) -> None:
        """Change all in one transaction; None: it is gone. `bodies`: of messages in new places. sqlite3.Error."""
        put = [(*place, attempts) for place, attempts in places.items() if attempts is not None]
        # In order of ids; what came and went within one batch never touches the disk.
        new = sorted({message for message, _, _ in put} & bodies.keys())
        blobs = [bodies[number].SerializeToString() for number in new]
        ends, end = [], 1
        for number, blob in zip(new, blobs, strict=True):
            ends.append((number, end, len(blob)))
            end += len(blob)
        with self._db:
            rows = [(*thing, *row) for thing, row in things.items() if row]
            self._db.executemany(_PUT_THING, rows)
            self._db.executemany(
                "DELETE FROM things WHERE kind = ? AND name = ?", [thing for thing, row in things.items() if not row]
            )
            self._db.execute(_ADD_BODIES, (b"".join(blobs), json.dumps(ends)))
            self._db.execute(_PUT_PLACES, (json.dumps(put),))
            gone = [place for place, attempts in places.items() if attempts is None]
            self._db.execute(_DROP_PLACES, (json.dumps(gone),))
            if things:
                self._db.execute("DELETE FROM places WHERE shelf NOT IN (SELECT shelf FROM things)")

    def close(self) -> None:
        """Release it."""
        self._db.close()
