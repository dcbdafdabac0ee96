"""A job whose SQLite file is an object in Cloud Storage: a local copy is worked on and uploaded again and again.

A response is acked, and a message counts as sent, when the upload that records it has succeeded.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from math import inf

from client.images import Image
from client.jobs.database import Database
from client.jobs.description import describe
from client.jobs.job import Job
from client.jobs.job_object import JobObject, ObjectChanged, held_until, holding, is_held
from client.text import StoreError, plain, printable
from client.transport.base import Sent
from client.transport.gatherer import threads_of
from functions.messages.contract import Response

_SENT = 450
"""Images sent after which the job is saved, unless many threads send. As many again may be sent meanwhile."""

_UNCONFIRMED = 1_000
"""Images at most that a killed command had sent and not saved: twice those after which the job is saved, and one for
each sending thread."""

_RECEIVED = 200
"""Responses received after which the job is saved: fewer than a subscription delivers without an ack."""

_PACE_S = 1.0
"""Seconds between two uploads: Cloud Storage allows one change a second of the same object."""

_LOOK_S = 2.0
"""Seconds between two looks at a job that another command holds: more where a look takes long."""

_HELD_S = 30.0
"""Seconds for which a command holds a job: several uploads fit in."""

_MAX_DESCRIPTION = 6_000
"""Characters of the description: an object's metadata may have 8 KiB."""


class RemoteJob(Job):
    """A job in Cloud Storage. `there` is its object, and `database` a copy of it in a file of its own."""

    def __init__(self, database: Database, job_id: str, there: JobObject) -> None:
        super().__init__(database, job_id)
        assert database.path
        self._there, self._path = there, database.path
        self._saved_changes = database.changes
        self._saving, self._counting = threading.RLock(), threading.Condition()
        self._most_sent = min(_SENT, (_UNCONFIRMED - threads_of(self.definition.options.gather)) // 2)
        self._sent, self._when_saved = 0, list[Callable[[], None]]()
        self._holds, self._failure, self._was_killed = False, "", False
        self._look_again_at = self._saved_at = -inf
        self._took_s = 0.0

    @property
    def has_unsaved(self) -> bool:
        """Whether the local copy holds what could not be saved."""
        return bool(self._failure)

    def close(self) -> None:
        """Close the local copy."""
        self._database.close()

    # What is recorded

    def retry(self, *, unanswered: bool = False) -> int:
        unconfirmed = super().retry(unanswered=unanswered)
        return min(self.counts().waiting, _UNCONFIRMED) if self._was_killed else unconfirmed

    def sending(self, image: Image) -> None:
        self._check()
        super().sending(image)

    def sent(self, image: Image, sent: Sent, sent_at: float) -> None:
        self._check()
        super().sent(image, sent, sent_at)
        with self._counting:
            self._sent += 1
        while self._holds and self._sent >= self._most_sent:  # until a save has begun; sending goes on meanwhile
            if not self._save_unless_saving():
                with self._counting:
                    self._counting.wait_for(lambda: self._sent < self._most_sent, _PACE_S)

    def receive(self, response: Response) -> bool:
        self._check()
        return super().receive(response)

    def when_saved(self, action: Callable[[], None]) -> None:
        with self._counting:
            self._when_saved.append(action)
            is_full = len(self._when_saved) >= _RECEIVED
        if is_full:
            with suppress(StoreError):  # `hold` reports it soon
                self._save_unless_saving()

    def _save_unless_saving(self) -> bool:
        """Save, unless another thread does. Returns whether it did. Raises StoreError."""
        if not self._saving.acquire(blocking=False):
            return False
        try:
            self.save()
        finally:
            self._saving.release()
        return True

    def save(self) -> None:
        with self._saving:
            self._check()
            if self._holds:
                self._write(pace_s=_PACE_S)

    def create(self) -> None:
        """Create the object, which this process then holds. Raises StoreError."""
        with self._saving:
            super().release()  # the object's metadata tell who holds the job
            self._holds, self._saved_changes = True, -1
            self._write()

    def cancel(self) -> None:
        self._there.cancel()
        super().cancel()

    # Which command works on it

    def hold(self) -> bool:
        with self._saving:
            self._check()
            return self._renew() if self._holds else self._acquire()

    def is_held(self) -> bool:
        return is_held(self._there.metadata)

    def held_by(self) -> str:
        host = self._there.metadata.get("holder", "").rpartition(" ")[0]
        left = max(0.0, held_until(self._there.metadata) - time.time())
        return f"a command on {printable(host) or 'another machine'} (if it was killed, for {left:.0f} s more)"

    def release(self) -> None:
        with self._saving:
            self._check()
            if self._holds:
                self._holds = False
                self._write()
                if self.is_held():
                    self._try(lambda: self._there.mark(self._metadata()))

    def _acquire(self) -> bool:
        began = time.monotonic()
        if began < self._look_again_at and self.is_held():
            return False
        self._refresh()
        now = time.monotonic()
        self._look_again_at = now + max(_LOOK_S, 4 * (now - began))
        if self.is_held():
            return False
        self._was_killed = self._there.metadata.get("holder", "") != ""
        try:
            self._there.mark({**self._there.metadata, **self._hold_metadata(holds=True)})
        except ObjectChanged:
            return False
        self._holds = True
        return True

    def _renew(self) -> bool:
        self._write(pace_s=_PACE_S)
        if held_until(self._there.metadata) < time.time() + _HELD_S / 2:
            self._try(lambda: self._there.mark(self._metadata()))
        self.notice_cancellation()
        return True

    def _refresh(self) -> None:
        """Read what another command has uploaded since."""
        if self._there.look():
            newer = self._path.with_name(f"{self._path.name}.newer")
            self._there.read(newer)
            self._database.load(newer)
            newer.unlink()
            self._saved_changes = self._database.changes
        self.notice_cancellation()

    def notice_cancellation(self) -> None:
        """Record that another command has cancelled the job, if so. Raises StoreError."""
        if not self.is_cancelled and self._there.is_cancelled():
            super().cancel()

    # Uploads. The caller holds `_saving`.

    def _write(self, pace_s: float = 0.0) -> None:
        """Upload the job if it has changed, and do what waits for that. Raises StoreError, from then on always."""
        if self._database.changes != self._saved_changes:
            time.sleep(max(0.0, self._saved_at + pace_s - time.monotonic()))
        with self._counting:
            actions, self._when_saved, self._sent = self._when_saved, [], 0
            self._counting.notify_all()
        changes = self._database.changes
        if changes != self._saved_changes:
            self._saved_at = time.monotonic()
            self._try(self._upload)
            self._took_s = time.monotonic() - self._saved_at
            self._saved_changes = changes
        for action in actions:
            action()

    def _upload(self) -> None:
        copy = self._path.with_name(f"{self._path.name}.copy")
        self._database.copy(copy)
        self._there.write(copy, self._metadata())
        copy.unlink()

    def _try(self, change: Callable[[], None]) -> None:
        try:
            change()
        except StoreError as exc:
            self._failure = f"what was not saved is in {printable(str(self._path))}: {plain(exc)}"
            raise StoreError(self._failure) from exc

    def _check(self) -> None:
        if self._failure:
            raise StoreError(self._failure)

    def _metadata(self) -> dict[str, str]:
        found = describe(Job(self._database, self.id))
        if len(json.dumps(found["errors"])) > _MAX_DESCRIPTION / 2:
            found["errors"] = {"several": sum(found["errors"].values())}
        return {"description": json.dumps(found), **self._hold_metadata(holds=self._holds)}

    def _hold_metadata(self, *, holds: bool) -> dict[str, str]:
        until = time.time() + _HELD_S + 4 * self._took_s
        return holding(until) if holds else {"holder": "", "held_until": "0"}
