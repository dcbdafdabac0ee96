"""Reads rows of results: of files, and of jobs in the job store, which are named `job:ID`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from client.gcp import UsageError
from client.jobs.place import Store, open_place
from client.results.record import Record
from client.results.result_files import read_distinct, read_records
from client.results.text_files import Warn
from client.text import StoreError

PREFIX = "job:"
"""The start of a name that means a job, such as job:last."""


def read_rows(paths: Iterable[Path], warn: Warn) -> list[Record]:
    """Return the rows of files and jobs, each request once; see `read_distinct`. Raises UsageError."""
    return read_distinct(paths, warn, _read)


def read_each(paths: Iterable[Path], warn: Warn) -> Iterator[Record]:
    """Yield all rows of files and jobs, one at a time, with their features. Raises UsageError."""
    for path in paths:
        yield from _read(path, warn)


def find_in_jobs(key: str) -> Iterator[tuple[str, Record]]:
    """Yield the rows of all jobs with this request id or file, each with the name of its job. Raises UsageError."""
    with _store() as store:
        for job in store.jobs():
            for record in job.find(key):
                yield f"{PREFIX}{job.id}", record


def _read(path: Path, warn: Warn) -> Iterator[Record]:
    if not str(path).startswith(PREFIX):
        yield from read_records(path, warn)
        return
    with _store() as store:
        try:
            yield from store.find(str(path).removeprefix(PREFIX)).records()
        except StoreError as exc:
            raise UsageError(str(exc)) from None


def _store() -> Store:
    return open_place(os.environ.get("PREDICTIONS_STATE"))
