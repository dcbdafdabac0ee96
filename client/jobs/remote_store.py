"""A job store in Cloud Storage, for commands on several machines: each job is an object `JOB.db` in a folder."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from client.emulators import STORAGE, check_answers
from client.gcp import CALL_TIMEOUT_S, Cloud, UsageError, storage_retry
from client.jobs.database import Database
from client.jobs.definition import Definition
from client.jobs.description import describe
from client.jobs.job import Job
from client.jobs.job_object import CANCELLED_ENDING, ENDING, JobObject, ObjectChanged, is_held, storage_errors
from client.jobs.remote_job import RemoteJob
from client.jobs.store import LAST, insert
from client.sources.objects import bucket_and_prefix
from client.text import printable

_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{4,16}")


class RemoteStore:
    """The jobs below `gs://bucket/folder`, a context manager. Raises UsageError for another address, and SendError."""

    is_kept = True

    def __init__(self, address: str) -> None:
        bucket, folder = bucket_and_prefix(address)
        check_answers(STORAGE)
        self._client: Any = Cloud("").storage_client()
        self._bucket = self._client.bucket(bucket)
        self._address, self._folder = address, f"{folder.strip('/')}/" if folder.strip("/") else ""
        self._files = Path(tempfile.mkdtemp(prefix="predictions-"))
        self._opened: list[RemoteJob] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for job in self._opened:
            job.close()
        if not any(job.has_unsaved for job in self._opened):
            shutil.rmtree(self._files, ignore_errors=True)
        self._client.close()

    def create(self, definition: Definition) -> RemoteJob:
        """Add a job, which this process holds. Raises StoreError."""
        database = Database(self._files / f"job{ENDING}")
        job = self._open(database, insert(database, definition))
        job.create()
        return job

    def find(self, job_id: str) -> RemoteJob:
        """Return the job with this id, or the newest for LAST. Raises UsageError and StoreError."""
        if job_id == LAST:
            listed = self._listed()
            if not listed:
                raise UsageError(f"there is no job in {printable(self._address)} yet; predictions submit makes one")
            job_id = listed[0][0]
        path, there = self._files / f"{job_id}{ENDING}", self._object(job_id)
        try:
            if _ID.fullmatch(job_id):
                there.read(path)
        except ObjectChanged:
            self._listed()  # fails where there is no bucket
        if not path.exists():
            raise UsageError(f"{printable(self._address)} has no job {printable(job_id)}; predictions jobs lists them")
        job = self._open(Database(path, there.address), job_id, there)
        job.notice_cancellation()
        return job

    def jobs(self) -> Iterator[RemoteJob]:
        """Yield the jobs, the newest first. Downloads each of them."""
        return (self.find(job_id) for job_id, *_ in self._listed())

    def descriptions(self) -> Iterator[dict[str, Any]]:
        """Yield the state of each job, as `describe` returns it, the newest first. Downloads none of them."""
        for job_id, metadata, is_cancelled in self._listed():
            try:
                found = json.loads(metadata["description"])
            except (KeyError, ValueError):  # a person has copied the object
                found = describe(self.find(job_id))
            if is_cancelled:
                found["state"] = "cancelled"
            elif is_held(metadata) and found["state"] != "complete":
                found["state"] = "running"
            yield found

    def forget(self, job: Job) -> None:
        """Remove a job and its results from the store. Raises StoreError."""
        self._object(job.id).delete()

    def _open(self, database: Database, job_id: str, there: JobObject | None = None) -> RemoteJob:
        job = RemoteJob(database, job_id, there or self._object(job_id))
        self._opened.append(job)
        return job

    def _object(self, job_id: str) -> JobObject:
        return JobObject(self._bucket, f"{self._folder}{job_id}{ENDING}")

    def _listed(self) -> list[tuple[str, Mapping[str, str], bool]]:
        """Return id, metadata, and whether it is cancelled, of each job, the newest first. Raises StoreError."""
        with storage_errors(self._address, "read", self._bucket.name):
            found = self._client.list_blobs(
                self._bucket, prefix=self._folder, delimiter="/", timeout=CALL_TIMEOUT_S, retry=storage_retry()
            )
            blobs = {blob.name.removeprefix(self._folder): blob for blob in found}
        ids = (name.removesuffix(ENDING) for name in sorted(blobs, reverse=True) if name.endswith(ENDING))
        return [
            (each, blobs[each + ENDING].metadata or {}, each + CANCELLED_ENDING in blobs)
            for each in ids
            if _ID.fullmatch(each)
        ]
