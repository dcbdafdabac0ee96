"""Opens the job store, and makes and finds its jobs."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from client.gcp import UsageError
from client.jobs.database import Database
from client.jobs.definition import Definition, new_job_id
from client.jobs.description import describe
from client.jobs.holder import HELD_S, this_process
from client.jobs.job import Job
from client.jobs.stored_record import RECORD, to_record
from client.results.record import Record

LAST = "last"
"""The word that means the newest job."""

_PAGE = 1000
"""Rows with features that are in memory at a time: some megabytes."""


def default_path() -> Path:
    """Return where jobs are kept without --state: `predictions/jobs.db` in the user's folder for data."""
    environ = os.environ
    if sys.platform == "win32":
        folder = environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    else:
        folder = environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(folder) / "predictions" / "jobs.db"


def insert(database: Database, definition: Definition) -> str:
    """Add a job, which this process holds, to a database, and return its id. Raises StoreError."""
    job_id = new_job_id()
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO jobs (id, created_at, definition, holder, held_until) VALUES (?, ?, ?, ?, ?)",
            (job_id, now := time.time(), definition.to_json(), this_process(), now + HELD_S),
        )
    return job_id


class JobStore:
    """The jobs in one file, a context manager; None keeps them in memory. Raises UsageError."""

    def __init__(self, path: Path | None) -> None:
        self._database = Database(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    @property
    def is_kept(self) -> bool:
        """Whether the jobs outlive this process."""
        return self._database.path is not None

    def create(self, definition: Definition) -> Job:
        """Add a job, which this process holds. Raises StoreError."""
        return Job(self._database, insert(self._database, definition))

    def find(self, job_id: str) -> Job:
        """Return the job with this id, or the newest for LAST. Raises UsageError."""
        if job_id == LAST:
            newest = self._database.rows("SELECT id FROM jobs ORDER BY rowid DESC LIMIT 1")
            if not newest:
                raise UsageError("there is no job yet; predictions submit makes one")
            job_id = newest[0][0]
        return Job(self._database, job_id)

    def jobs(self) -> Iterator[Job]:
        """Yield the jobs, the newest first."""
        for [job_id] in self._database.rows("SELECT id FROM jobs ORDER BY rowid DESC"):
            yield Job(self._database, job_id)

    def record(self, job_id: str, number: int) -> Record | None:
        """Return the row of one image of a job; None where the job has no such image. Raises UsageError."""
        job = self.find(job_id)
        rows = self._database.rows(f"SELECT {RECORD} FROM images WHERE job = ? AND number = ?", job.id, number)  # nosec B608
        return self._database.made(to_record, job.is_answered, *rows[0]) if rows else None

    def features(self, digest: str, most: int) -> Iterator[list[tuple[str, int, str, str]]]:
        """Yield, page by page, the images with features of the model with this digest, the newest first.

        Each is its job, its number, its file and its features, as text. Only the newest `most` images of the store are
        looked at. Raises StoreError.
        """
        query = (
            "SELECT number, location, record FROM images WHERE job = ? AND number < ? AND number > ? "
            f"AND error_code = '' AND instr(record, ?) ORDER BY number DESC LIMIT {_PAGE}"  # nosec B608
        )
        for [job_id] in self._database.rows("SELECT id FROM jobs ORDER BY rowid DESC"):
            [[last]] = self._database.rows("SELECT coalesce(max(number), 0) FROM images WHERE job = ?", job_id)
            before, after = last + 1, max(0, last - most)
            most -= min(last, most)
            while page := self._database.rows(query, job_id, before, after, digest):
                before = page[-1][0]
                yield self._database.made(_with_features, job_id, digest, page)
            if not most:
                return

    def descriptions(self) -> Iterator[dict[str, Any]]:
        """Yield the state of each job, as `describe` returns it, the newest first."""
        return (describe(job) for job in self.jobs())

    def forget(self, job: Job) -> None:
        """Remove a job and its results from the store."""
        with self._database.transaction() as database:
            for table in ("images", "early"):
                database.execute(f"DELETE FROM {table} WHERE job = ?", (job.id,))  # nosec B608  # our own tables
            database.execute("DELETE FROM jobs WHERE id = ?", (job.id,))


def _with_features(job_id: str, digest: str, page: list[tuple[int, str, str]]) -> list[tuple[str, int, str, str]]:
    rows = ((number, location, json.loads(record)) for number, location, record in page)
    return [
        (job_id, number, json.loads(location), row["features"])
        for number, location, row in rows
        if row["features"] and row["model_digest"] == digest
    ]
