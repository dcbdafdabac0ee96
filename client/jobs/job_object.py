"""The object in Cloud Storage that holds one job. It is written only while no other command has changed it."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from client.gcp import CALL_TIMEOUT_S, UPLOAD_TIMEOUT_S, storage_retry
from client.jobs.holder import has_ended, this_process
from client.text import StoreError, plain, printable

ENDING, CANCELLED_ENDING = ".db", ".cancelled"
"""Endings of the names of a job's objects: the SQLite file, and an empty object that tells that it is cancelled."""

_LIMITS = {"timeout": CALL_TIMEOUT_S}
_MANY_BYTES = {"timeout": UPLOAD_TIMEOUT_S}
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_DOWNLOADS = 5
"""Tries to download an object, which its holder may replace at any time."""


class ObjectChanged(StoreError):
    """Another command has changed or removed the object."""


def is_held(metadata: Mapping[str, str]) -> bool:
    """Whether a command works on the job with this metadata."""
    holder = metadata.get("holder", "")
    is_here = metadata.get("machine", "") == _this_machine() != ""
    return holder != "" and held_until(metadata) > time.time() and not (is_here and has_ended(holder))


def holding(until: float) -> dict[str, str]:
    """Return the metadata with which this process holds a job until then, in seconds since 1970."""
    return {"holder": this_process(), "machine": _this_machine(), "held_until": f"{until:.3f}"}


def _this_machine() -> str:
    """Return what other machines lack, even those with the same host name, where a process id means another process.

    It is "" where that is unknown.
    """
    try:
        return f"{_BOOT.read_text(encoding='ascii').strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def held_until(metadata: Mapping[str, str]) -> float:
    """Return the end of the time for which a command holds the job, in seconds since 1970."""
    try:
        return float(metadata.get("held_until", "0"))
    except ValueError:
        return 0.0


@contextmanager
def storage_errors(address: str, verb: str, bucket: str) -> Iterator[None]:
    """Raise a failed call as StoreError: the job store at `address` cannot be read or written, as `verb` says."""
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except StoreError:
        raise
    except (GoogleAPIError, GoogleAuthError, OSError) as exc:
        reason = plain(exc, f"the bucket {bucket}")
        raise StoreError(f"the job store {printable(address)} cannot be {verb}: {reason}") from exc


class JobObject:
    """One object and what is known of it. Every method raises StoreError for a failed call.

    `metadata` is the object's own: `description` (the job's state as JSON), `holder` and `held_until`.
    """

    def __init__(self, bucket: Any, name: str) -> None:
        self._bucket, self._name = bucket, name
        self.address = f"gs://{bucket.name}/{name}"
        self._generation, self._metageneration = 0, 0
        self.metadata: Mapping[str, str] = {}

    def look(self) -> bool:
        """Read the metadata. Returns whether the content has changed since it was read. Raises ObjectChanged."""
        before = self._generation
        with self._errors("read"):
            blob = self._bucket.get_blob(self._name, retry=storage_retry(), **_LIMITS)
        if blob is None:
            raise self._changed()
        self._take(blob)
        return self._generation != before

    def read(self, path: Path) -> None:
        """Download the content to `path`, and read the metadata that belongs to it. Raises ObjectChanged."""
        from google.api_core.exceptions import NotFound, PreconditionFailed

        for _ in range(_DOWNLOADS):
            self.look()
            try:
                with self._errors("read"):
                    self._bucket.blob(self._name).download_to_filename(
                        str(path), if_generation_match=self._generation, retry=storage_retry(), **_MANY_BYTES
                    )
                return
            except StoreError as exc:
                if not isinstance(exc.__cause__, NotFound | PreconditionFailed):
                    raise
        raise self._changed()

    def write(self, path: Path, metadata: Mapping[str, str]) -> None:
        """Replace content and metadata. Raises ObjectChanged when another command has changed them."""
        blob = self._bucket.blob(self._name)
        with self._change(blob, metadata):
            blob.upload_from_filename(
                str(path),
                content_type="application/vnd.sqlite3",
                retry=storage_retry(),
                **self._unchanged(),
                **_MANY_BYTES,
            )

    def mark(self, metadata: Mapping[str, str]) -> None:
        """Replace the metadata alone. Raises ObjectChanged when another command has changed them."""
        blob = self._bucket.blob(self._name)
        with self._change(blob, metadata):
            blob.patch(retry=storage_retry(), **self._unchanged(), **_LIMITS)

    def cancel(self) -> None:
        """Tell every command that the job is cancelled, without changing what its holder writes."""
        with self._errors("written"):
            self._cancellation().upload_from_string(b"", retry=storage_retry(), **_LIMITS)

    def is_cancelled(self) -> bool:
        """Whether `cancel` was called, on any machine."""
        with self._errors("read"):
            return bool(self._cancellation().exists(retry=storage_retry(), **_LIMITS))

    def delete(self) -> None:
        """Delete all objects of the job."""
        from google.api_core.exceptions import NotFound

        for blob in (self._bucket.blob(self._name), self._cancellation()):
            try:
                with self._errors("written"):
                    blob.delete(retry=storage_retry(), **_LIMITS)
            except StoreError as exc:
                if not isinstance(exc.__cause__, NotFound):
                    raise

    @contextmanager
    def _change(self, blob: Any, metadata: Mapping[str, str]) -> Iterator[None]:
        """Change the object in the block. A repeated call may fail because the first one succeeded unnoticed."""
        from google.api_core.exceptions import NotFound, PreconditionFailed

        blob.metadata = made = {**metadata, "change": uuid.uuid4().hex}
        try:
            with self._errors("written"):
                yield
        except StoreError as exc:
            if not isinstance(exc.__cause__, PreconditionFailed) and not (
                isinstance(exc.__cause__, NotFound) and self._generation
            ):
                raise
            self.look()
            if self.metadata.get("change") != made["change"]:
                raise self._changed() from exc
        else:
            self._take(blob)

    def _unchanged(self) -> Mapping[str, int]:
        """Return the preconditions of a change: the object as it was last seen, or that there is none."""
        if not self._generation:
            return {"if_generation_match": 0}
        return {"if_generation_match": self._generation, "if_metageneration_match": self._metageneration}

    def _take(self, blob: Any) -> None:
        self._generation, self._metageneration = int(blob.generation), int(blob.metageneration)
        self.metadata = dict(blob.metadata or {})

    def _cancellation(self) -> Any:
        return self._bucket.blob(self._name.removesuffix(ENDING) + CANCELLED_ENDING)

    def _changed(self) -> ObjectChanged:
        return ObjectChanged(f"another command has changed or removed {printable(self.address)}")

    def _errors(self, verb: str) -> Any:
        return storage_errors(self.address, verb, self._bucket.name)
